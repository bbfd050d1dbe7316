#!/usr/bin/perl
# Serves like an engine, over descriptors 3 and 4, but gives texts back in
# capitals, 0.3 s later, and dies of the text "poison".
use strict;
use warnings;

use IO::Handle;
use IO::Select;
use IO::Socket::UNIX;
use Time::HiRes qw(time);

my %type = (hello => 1, ping => 4, pong => 5, request => 40, result => 41);
my $control = IO::Socket::UNIX->new_from_fd(3, 'r+');
my $listener = IO::Socket::UNIX->new_from_fd(4, 'r+');
my $select = IO::Select->new($control, $listener);
my %inbox;
my @due;    # [ time, socket, frame ]

$SIG{PIPE} = 'IGNORE';
$SIG{INT} = 'IGNORE';
greet($control);
while (1)
{
	foreach my $socket ($select->can_read(0.02))
	{
		if ($socket == $listener)
		{
			my $client = $listener->accept // next;

			$select->add($client);
			greet($client);
			next;
		}
		if (!sysread($socket, $inbox{$socket}, 65536, length($inbox{$socket} // '')))
		{
			exit 0 if $socket == $control;
			$select->remove($socket);
			delete $inbox{$socket};
			close $socket;
			next;
		}
		while (length $inbox{$socket} >= 16)
		{
			my ($type, $length, $id) = unpack('L L Q', $inbox{$socket});

			last if length $inbox{$socket} < 16 + $length;
			my $payload = substr($inbox{$socket}, 16, $length);
			substr($inbox{$socket}, 0, 16 + $length) = '';
			answer($socket, $type, $id, $payload);
		}
	}
	while (@due && $due[0][0] <= time)
	{
		my (undef, $socket, $frame) = @{ shift @due };

		syswrite($socket, $frame) if defined fileno($socket);
	}
}

sub frame
{
	my ($type, $id, $payload) = @_;

	return pack('L L Q', $type, length $payload, $id) . $payload;
}

sub greet
{
	syswrite(shift, frame($type{hello}, 0, pack('L L/a* L/a* Q', 1, '1.0', 'stand-in', $$)));
	return;
}

sub answer
{
	my ($socket, $type, $id, $payload) = @_;

	if ($type == $type{ping})
	{
		syswrite($socket, frame($type{pong}, $id, ''));
	}
	elsif ($type == $type{request})
	{
		my $at = 25;    # key and task
		my $options = unpack('L', substr($payload, $at, 4));
		my (undef, @rest) = unpack('a' . ($at + 4) . '(L/a*)' . (2 * $options + 1) . ' L a*', $payload);
		my ($terms, $tail) = @rest[ -2, -1 ];
		my @words = unpack('(L/a*)' . 2 * $terms . ' L/(L/a*)', $tail);
		my @texts = @words[ 2 * $terms .. $#words ];

		kill 'KILL', $$ if grep { $_ eq 'poison' } @texts;
		push @due, [ time + 0.3, $socket, frame($type{result}, $id, pack('L L', scalar @texts, 1)
			  . join('', map { pack('C L/a* d d L C L', 1, uc $_, 0, 0, 1, 0, 0) } @texts)) ];
	}
	return;
}
