#!/usr/bin/env python3
"""Write test/unit/data/score.txt: hypotheses, references and what sacreBLEU
makes of them.

    pip install sacrebleu
    python3 test/unit/make_score_fixture.py > test/unit/data/score.txt

A group is a corpus: a head line with its scores and counts, then for each pair
a line "h TEXT" and a line "r TEXT".  In texts, a backslash and what would end
a line are written \\xHH.
"""
import random
import sys

import sacrebleu
from sacrebleu.metrics import BLEU, CHRF

NASTY = [
    # (hypothesis, reference)
    ("", ""),
    ("", "The reference has words."),
    ("The hypothesis has words.", ""),
    (" \t ", "only white space before"),
    ("one", "one"),
    ("one two", "one two"),
    ("one two three", "one two three"),
    ("one two three four", "one two three four"),
    ("a a a a a a a a", "a a"),
    ("a b a b a b", "b a b a b a b a"),
    ("aaaaaaaaaaaa", "aaaaaa"),
    ("abcde", "abcdef"),
    ("x", "xyzxyzxyz"),
    ("It cost 1,000.5 euros, not 1.000,5.", "It cost 1,000.50 euros, not 1.000,5!"),
    ("Version 2.0.1, released 3.4.", "Version 2.0.1,released 3.4 ."),
    (".5 and 5. and ,5 and 5, and 5.,5", ".5 and 5 . and , 5 and 5, and 5,.5"),
    ("...,,,...", "... , , , ..."),
    ("a.b.c,d,e", "a. b. c, d, e"),
    ("1-2-3 well-known 10-year-old -5 5- a-1", "1 -2 - 3 well - known 10-year-old - 5 5 - a-1"),
    ("12-", "12 -"),
    ("'quoted' \"double\" `back` \u201ccurly\u201d \u201elow\u201c \u00abguillemets\u00bb",
     "\"quoted\" 'double' `back' \u201ccurly\u201d \u201elow\u201c \u00ab guillemets \u00bb"),
    ("don't can't it's 'tis rock'n'roll", "do n't ca n't it 's ' tis rock 'n' roll"),
    ("AT&amp;T &lt;b&gt;bold&lt;/b&gt; &quot;said&quot;", "AT&T <b>bold</b> \"said\""),
    ("&amp;lt; &amp;amp; &amp;quot; &amp;amp;gt;", "< & \" >"),
    ("&nbsp; & && &amp &lt &gt;", "&nbsp; & && &amp; < >"),
    ("before <skipped> after", "before  after"),
    ("<ski<skipped>pped> <skipped><skipped> < skipped>", "<skipped> < skipped >"),
    ("a hyphen-\nated word\nin two lines", "a hyphenated word in two lines"),
    ("ends in a hyphen-\n", "ends in a hyphen-"),
    ("--\n\n-\n-", "- -"),
    ("line one\r\nline two\rline three", "line one line two line three"),
    ("tab\tform\x0cfeed\x0bvertical\x1cfs\x1dgs\x1ers\x1fus", "tab form feed vertical fs gs rs us"),
    ("nul \x00 inside\x01and\x7fmore", "nul inside and more"),
    ("next\u0085line no\u00a0break ogham\u1680space", "next line no break ogham space"),
    ("en\u2000em\u2003thin\u2009hair\u200azero\u200bwidth", "en em thin hair zero width"),
    ("line\u2028par\u2029nnbsp\u202fmmsp\u205fideo\u3000mark\ufeff\u180e",
     "line par nnbsp mmsp ideo mark"),
    ("trailing space \u3000\u00a0", " leading space"),
    ("{braces} [brackets] (parentheses) <angles> /slash\\backslash|bar~tilde^caret",
     "{ braces } [ brackets ] ( parentheses ) < angles > / slash \\ backslash | bar ~ tilde ^ caret"),
    ("!#$%*+:;=?@_", "! # $ % * + : ; = ? @ _"),
    ("e-mail: someone@example.org, http://example.org/a?b=c&d=e#f",
     "e-mail : someone @ example.org , http : // example.org / a ? b = c & d = e # f"),
    ("50% of $3.99 (+ tax) = ?", "50 % of $ 3.99 ( + tax ) = ?"),
    ("Stra\u00dfe \u00fcber M\u00fcller \u00c4rger \u00d6l", "Strasse ueber Mueller \u00c4rger \u00d6l"),
    ("caf\u00e9 na\u00efve", "cafe\u0301 nai\u0308ve"),
    ("\u65e5\u672c\u8a9e\u306e\u6587\u3067\u3059\u3002\u53e5\u8aad\u70b9\u3001\u3042\u308a\u3002",
     "\u65e5\u672c\u8a9e\u306e\u6587\u7ae0\u3067\u3059\u3002\u53e5\u8aad\u70b9\u3082\u3042\u308a\u307e\u3059\u3002"),
    ("\u4e2d\u6587.\u4e2d\u6587,\u4e2d\u6587\uff0c1.5\uff0e", "\u4e2d\u6587 . \u4e2d\u6587 , \u4e2d\u6587 \uff0c 1.5"),
    ("\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440! \u041a\u0430\u043a \u0434\u0435\u043b\u0430?",
     "\u041f\u0440\u0438\u0432\u0435\u0442 \u043c\u0438\u0440. \u041a\u0430\u043a \u0434\u0435\u043b\u0430?"),
    ("\u0645\u0631\u062d\u0628\u0627\u060c \u0643\u064a\u0641 \u062d\u0627\u0644\u0643\u061f", "\u0645\u0631\u062d\u0628\u0627 \u0643\u064a\u0641 \u0627\u0644\u062d\u0627\u0644\u061f"),
    ("\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35\u0e0a\u0e32\u0e27\u0e42\u0e25\u0e01", "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35 \u0e0a\u0e32\u0e27 \u0e42\u0e25\u0e01"),
    ("\u0662\u0663.\u0665 \u00b2.5 \u00bd,5 \uff11.\uff12", "\u0662\u0663 . \u0665 \u00b2 .5 \u00bd ,5 \uff11.\uff12"),
    ("smile \U0001f600! family \U0001f468\u200d\U0001f469\u200d\U0001f467 flag \U0001f1e9\U0001f1ea.",
     "smile \U0001f600 ! family \U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 flag \U0001f1eb\U0001f1f7."),
    ("\U0001f600.\U0001f600,\U0001f600", "\U0001f600 . \U0001f600 , \U0001f600"),
    ("replacement \ufffd char \ufffe\uffff \U0010ffff", "replacement \ufffd char \U0010ffff"),
    ("\ue000 private \ud7a3 edge", "\ue000 private edge"),
    ("word" * 300, "word" * 299 + "ward"),
    ("a " * 900 + "end.", "a " * 700 + "the end."),
    (".," * 400, ",." * 400),
    ("0.1,2.3-4" * 120, "0.1,2.3 -4 " * 110),
    ("CASE Matters here", "case matters Here"),
    ("no word in common", "nothing else shared; really"),
    ("completely different", "zzz"),
]

NAMES = ["Ada", "Émile", "Jürgen", "Zoë", "O'Neil", "Łukasz", "Søren", "李娜", "Наталья"]
NOUNS = ["cat", "server", "table", "window", "river", "price", "letter", "engine", "garden", "cup of tea"]
VERBS = ["opens", "repairs", "reads", "paints", "sells", "drops", "re-checks", "doesn't see"]
ADJECTIVES = ["old", "blue", "half-finished", "tiny", "so-called", "12-year-old", "naïve"]
NUMBERS = ["3", "1,000.5", "12.50", "7-8", "$4.99", "50%", "2nd", "1.234.567,89", "-5", "½"]
TAILS = [".", "!", "?", " …", "...", ".", ".", " (sic).", "; done.", " \"quoted\".", " 😀", " – why?"]


def sentence(rng):
    words = [rng.choice(NAMES), rng.choice(VERBS), rng.choice(["the", "a", "one", rng.choice(NUMBERS)])]
    if rng.random() < 0.6:
        words.append(rng.choice(ADJECTIVES))
    words.append(rng.choice(NOUNS))
    while rng.random() < 0.45:
        words[-1] += rng.choice(["", ",", " and", ":"])
        words += ["the", rng.choice(ADJECTIVES), rng.choice(NOUNS)]
        if rng.random() < 0.3:
            words += ["for", rng.choice(NUMBERS)]
    return " ".join(words) + rng.choice(TAILS)


def perturb(rng, text, strength):
    words = text.split(" ")
    out = []
    for word in words:
        draw = rng.random()
        if draw < strength * 0.3:
            continue
        if draw < strength * 0.5:
            word = rng.choice(NOUNS + ADJECTIVES + NUMBERS)
        elif draw < strength * 0.6:
            word = word + " " + word
        elif draw < strength * 0.8 and len(word) > 2:
            at = rng.randrange(len(word))
            word = word[:at] + rng.choice("aeiouäß-.,'") + word[at + 1:]
        out.append(word)
    if rng.random() < strength and len(out) > 3:
        at = rng.randrange(len(out) - 1)
        out[at], out[at + 1] = out[at + 1], out[at]
    return " ".join(out)


def escape(text):
    def one(c):
        if c == "\\" or c < " ":
            return "\\x%02X" % ord(c)
        return c
    return "".join(one(c) for c in text)


def write(name, pairs):
    hypotheses = [h for h, _ in pairs]
    references = [r for _, r in pairs]
    bleu = BLEU(force=True).corpus_score(hypotheses, [references])
    chrf = CHRF().corpus_score(hypotheses, [references])
    print("g", len(pairs), repr(float(bleu.score)), repr(float(chrf.score)),
          bleu.sys_len, bleu.ref_len, *bleu.counts, *bleu.totals, name)
    for h, r in pairs:
        print("h", escape(h))
        print("r", escape(r))


def main():
    sys.stdout.reconfigure(encoding="utf-8", newline="\n")
    rng = random.Random(20)
    print("# sacreBLEU", sacrebleu.__version__, "- written by make_score_fixture.py")
    print("# g PAIRS BLEU CHRF HYPOTHESIS_LENGTH REFERENCE_LENGTH MATCHES*4 TOTALS*4 NAME")
    for i, pair in enumerate(NASTY):
        write("nasty %d" % i, [pair])
    write("all nasty", NASTY[1:])
    write("many empty", [("", "x y"), ("x y", ""), ("x y z x", "x y z x")] * 3)
    for strength in (0.0, 0.1, 0.3, 0.6, 1.0):
        references = [sentence(rng) for _ in range(60)]
        write("perturbed %.1f" % strength, [(perturb(rng, r, strength), r) for r in references])
    for i in range(40):
        reference = sentence(rng)
        write("sentence %d" % i, [(perturb(rng, reference, rng.random()), reference)])
    references = [sentence(rng) for _ in range(60)]
    write("swapped", list(zip(references[1:] + references[:1], references)))


if __name__ == "__main__":
    main()
