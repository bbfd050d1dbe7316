# setup.sh: what make check and make demo need on a bare Debian 12; sourced.

# packages that building, testing and the demo need
RESIDUAL_PACKAGES="build-essential clang postgresql-15 postgresql-server-dev-15 libopenblas-dev libsentencepiece-dev sentencepiece libipc-run-perl python3 gnuplot-nox"

say()
{
	printf '\n== %s\n' "$*"
}

fail()
{
	printf '%s\n' "$*" >&2
	exit 1
}

# ensure_packages package ...: install what is missing, as root; else say what to install
ensure_packages()
{
	missing=""
	for package in "$@"; do
		dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
	done
	[ -z "$missing" ] && return 0
	if [ "$(id -u)" != 0 ]; then
		fail "missing packages; as root: apt-get install$missing"
	fi
	say "installing$missing"
	apt-get update -q >"${TMPDIR:-/tmp}/residual-apt.log" 2>&1 || true
	# the package must not set up a cluster of the system's for our sake
	if ! dpkg-query -W -f '${Status}' postgresql-15 2>/dev/null | grep -q 'ok installed'; then
		mkdir -p /etc/postgresql-common/createcluster.d
		[ -e /etc/postgresql-common/createcluster.d/residual.conf ] ||
			echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.d/residual.conf
	fi
	DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing \
		>>"${TMPDIR:-/tmp}/residual-apt.log" 2>&1 ||
		fail "could not install packages; see ${TMPDIR:-/tmp}/residual-apt.log"
	rm -f /etc/postgresql-common/createcluster.d/residual.conf
}

# the server refuses to run as root
if [ "$(id -u)" = 0 ]; then
	as_server() { runuser -u postgres -- env HOME="$WORK" PATH="$PATH" "$@"; }
	give_to_server() { chown -R postgres "$@"; }
else
	as_server() { "$@"; }
	give_to_server() { :; }
fi

# build_and_stage: build, install under $WORK/stage; the CUDA device, which takes minutes, where there is a GPU
build_and_stage()
{
	WITH_CUDA=${WITH_CUDA:-$([ -e /dev/nvidiactl ] && echo yes || echo no)}
	export WITH_CUDA
	PG_CONFIG=${PG_CONFIG:-/usr/lib/postgresql/15/bin/pg_config}
	[ -x "$PG_CONFIG" ] || PG_CONFIG=$(command -v pg_config)
	PG_BIN=$("$PG_CONFIG" --bindir)
	PG_LIB=$("$PG_CONFIG" --pkglibdir)
	PATH="$PG_BIN:$PATH"
	export PG_CONFIG PATH
	make -j2 PG_CONFIG="$PG_CONFIG" "$@" all || fail "the build failed"
	make -s PG_CONFIG="$PG_CONFIG" "$@" install DESTDIR="$WORK/stage" >"$WORK/install.log" 2>&1 ||
		fail "make install failed: $(cat "$WORK/install.log")"
	RESIDUAL_STAGE=$WORK/stage
	export RESIDUAL_STAGE
}

# start_cluster [line of configuration ...]: a private cluster that nobody else sees
start_cluster()
{
	PGHOST=$WORK/socket PGPORT=5432 PGUSER=postgres PGDATABASE=postgres
	PGDATA=$WORK/data
	export PGHOST PGPORT PGUSER PGDATABASE
	mkdir -p "$PGHOST"
	give_to_server "$WORK"
	as_server "$PG_BIN/initdb" -D "$PGDATA" -U postgres -A trust -E UTF8 --locale=C.UTF-8 >"$WORK/initdb.log" 2>&1 ||
		fail "initdb failed: $(cat "$WORK/initdb.log")"
	{
		echo "listen_addresses = ''"
		echo "unix_socket_directories = '$PGHOST'"
		echo "extension_destdir = '$RESIDUAL_STAGE'"
		echo "dynamic_library_path = '$RESIDUAL_STAGE$PG_LIB:\$libdir'"
		echo "residual.engine = '$RESIDUAL_STAGE$PG_LIB/residual_engine'"
		for line in "$@"; do
			echo "$line"
		done
	} >>"$PGDATA/postgresql.conf"
	as_server "$PG_BIN/pg_ctl" -D "$PGDATA" -l "$WORK/server.log" -w start >"$WORK/start.log" 2>&1 ||
		fail "the server did not start: $(cat "$WORK/server.log")"
}

stop_cluster()
{
	[ -n "${PGDATA:-}" ] && [ -f "$PGDATA/postmaster.pid" ] &&
		as_server "$PG_BIN/pg_ctl" -D "$PGDATA" -m immediate stop >/dev/null 2>&1
	return 0
}
