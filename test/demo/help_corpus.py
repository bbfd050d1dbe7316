#!/usr/bin/env python3
"""Sentence pairs out of LibreOffice's help as Debian packages it (standard library only).

usage: help_corpus.py --root ROOT [--lang de] [--max-words 12] [--held-out 500] OUT.tsv

ROOT is where libreoffice-help-en-us and libreoffice-help-LANG have been unpacked.  A page has the same relative
path in every language and a paragraph keeps its id, so (path, id) aligns paragraphs exactly; those with as many
sentences on both sides are split into sentences.  Dropped: program text, formulas, inline code and images,
untranslated text, odd lengths.  Writes english<TAB>foreign<TAB>split, split being train or test; test pairs are
whole sentences that share no normalised side with a train pair.
"""
import argparse
import hashlib
import os
import re
from html.parser import HTMLParser

BLOCKS = {'p', 'h1', 'h2', 'h3', 'h4', 'h5', 'h6'}
PROGRAM_TEXT = re.compile(r'bas|code|sql|python|macro', re.I)
ABBREVIATION = re.compile(r'(?:\b(?:e\.g|i\.e|z\.B|d\.h|u\.a|usw|etc|bzw|Nr|No|vs|ca|p\.ex|Ex)|\b[A-Za-z])\.$')
SENTENCE_END = re.compile(r'(?<=[.!?])\s+(?=[A-ZÄÖÜÀ-ÞА-Я"„“«¿¡(])')


class Page(HTMLParser):
    """Text of every block that has an id."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.blocks = {}
        self.id = None
        self.hidden = 0                 # depth inside a span that only readers on macOS see

    def close_block(self):
        if self.id:
            text = re.sub(r'\s+([.,;:!?])(?=\s|$)', r'\1', ' '.join(''.join(self.parts).split()))
            if text and not self.dropped:
                self.blocks.setdefault(self.id, text)
        self.id = None

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        classes = attrs.get('class') or ''
        if tag in BLOCKS:
            self.close_block()
            if attrs.get('id'):
                self.id, self.tag, self.parts, self.hidden = attrs['id'], tag, [], 0
                self.dropped = bool(PROGRAM_TEXT.search(classes))
        elif tag == 'span' and (self.hidden or 'MAC' in classes.split()):
            self.hidden += 1
        elif self.id and tag == 'br':
            self.parts.append(' ')
        elif self.id and tag in ('code', 'img', 'object', 'math'):
            self.dropped = True         # would leave a hole in the sentence

    def handle_endtag(self, tag):
        if self.hidden and tag == 'span':
            self.hidden -= 1
        if self.id and tag == self.tag:
            self.close_block()

    def handle_data(self, data):
        if self.id and not self.hidden:
            self.parts.append(data)


def blocks_of(path):
    page = Page()
    with open(path, encoding='utf-8') as f:
        page.feed(f.read())
    page.close()
    page.close_block()
    return page.blocks


def sentences(text):
    parts = []
    for piece in SENTENCE_END.split(text):
        if parts and ABBREVIATION.search(parts[-1]):
            parts[-1] += ' ' + piece
        else:
            parts.append(piece)
    return parts


def clean(text):
    text = text.replace('\u00a0', ' ').replace('\u00ad', '').replace('\u200b', '')
    text = re.sub(r'[„“”«»‟]', '"', text)
    text = re.sub(r'[‚‘’]', "'", text)
    text = re.sub(r'\s*[–—]\s*', ' - ', text)
    return ' '.join(text.replace('…', '...').replace('~', '').split())


def wanted(english, foreign, max_words):
    m, n = len(english.split()), len(foreign.split())
    if english.lower() == foreign.lower() or not 2 <= m <= max_words or not 1 <= n <= max_words * 1.4:
        return False
    if max(m, n) / max(min(m, n), 1) > 2.5 and abs(m - n) > 4:
        return False
    letters = sum(c.isalpha() or c == ' ' for c in english)
    if letters < 0.75 * len(english) or re.search(r'[={}<>\\|#_]|\w\(|https?:', english + foreign):
        return False                    # formulas, code, addresses
    ours = set(english.lower().split())
    return m <= 4 or len(ours & set(foreign.lower().split())) <= 0.5 * len(ours)


def aligned_pairs(root, lang, max_words):
    pages = os.path.join(root, 'usr/share/libreoffice/help/en-US/text')
    pairs = {}
    for folder, dirs, files in os.walk(pages):
        dirs.sort()
        for name in sorted(files):
            here = os.path.join(folder, name)
            there = os.path.join(root, 'usr/share/libreoffice/help', lang, 'text', os.path.relpath(here, pages))
            if not name.endswith('.html') or not os.path.exists(there):
                continue
            english, foreign = blocks_of(here), blocks_of(there)
            for block in english:
                if block not in foreign:
                    continue
                s, t = sentences(english[block]), sentences(foreign[block])
                if len(s) != len(t):
                    s, t = [english[block]], [foreign[block]]
                for u, v in zip(map(clean, s), map(clean, t)):
                    if wanted(u, v, max_words):
                        pairs.setdefault((u, v))
    return list(pairs)


def split(pairs, held_out):
    """Pairs that share a normalised side stay together; test takes whole groups in hash order."""
    parent = {}

    def find(x):
        parent.setdefault(x, x)
        while parent[x] != x:
            parent[x] = parent[parent[x]]
            x = parent[x]
        return x

    def normal(text):
        return re.sub(r'[\W\d_]+', ' ', text.lower()).strip()

    for u, v in pairs:
        parent[find('e' + normal(u))] = find('f' + normal(v))
    groups = {}
    for pair in pairs:
        groups.setdefault(find('e' + normal(pair[0])), []).append(pair)
    taken = 0
    for group in sorted(groups.values(), key=lambda g: hashlib.sha256('\t'.join(min(g)).encode()).digest()):
        u = group[0][0]
        whole = len(group) == 1 and len(u.split()) >= 4 and u[-1] in '.!?'
        name = 'test' if whole and taken < held_out else 'train'
        taken += name == 'test'
        for pair in group:
            yield pair, name


def main():
    options = argparse.ArgumentParser()
    options.add_argument('out')
    options.add_argument('--root', required=True)
    options.add_argument('--lang', default='de')
    options.add_argument('--max-words', type=int, default=12)
    options.add_argument('--held-out', type=int, default=500)
    options = options.parse_args()
    pairs = aligned_pairs(options.root, options.lang, options.max_words)
    counts = {'train': 0, 'test': 0}
    with open(options.out, 'w', encoding='utf-8') as out:
        for (u, v), name in split(pairs, options.held_out):
            counts[name] += 1
            # COPY's text format: backslashes would be escapes
            print(u.replace('\\', '\\\\'), v.replace('\\', '\\\\'), name, sep='\t', file=out)
    print(f"{counts['train']} pairs to train on, {counts['test']} held out")


if __name__ == '__main__':
    main()
