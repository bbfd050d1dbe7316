#!/usr/bin/env python3
"""What nvcc has made, looked at without a GPU; prints TAP.

    binaries.py                 check build/cuda and residual_cuda.so
    binaries.py --record        write budgets.txt anew from build/cuda

Every kernel has a budget of registers and static shared memory, the most that
it needs on any architecture, in budgets.txt; none may spill.
The library must hold machine code for every architecture, and PTX of the last.
"""
import glob
import os
import re
import struct
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUDGETS = os.path.join(HERE, 'budgets.txt')
FATBIN = 0xBA55ED50
PTX, MACHINE_CODE = 1, 2

number = failures = 0


def check(good, text, *notes):
    global number, failures
    number += 1
    failures += not good
    print(f'{"ok" if good else "not ok"} {number} - {text}')
    if not good:
        for note in notes:
            print(f'# {note}')


def architectures():
    """As the Makefile lists them."""
    with open(os.path.join(ROOT, 'Makefile')) as makefile:
        return [int(a) for a in re.search(r'^CUDA_ARCHITECTURES = (.*)$', makefile.read(), re.M).group(1).split()]


def demangle(names):
    """Kernels by their names in the source, template arguments included."""
    plain = subprocess.run(['c++filt', '-p', '-i'], input='\n'.join(names), capture_output=True, text=True, check=True).stdout
    return dict(zip(names, (re.sub(r'^void ', '', line).replace(' ', '') for line in plain.split('\n'))))


def compiled():
    """(kernel, architecture) -> registers, static shared memory, bytes of spills and stack."""
    found = {}
    for path in glob.glob(os.path.join(ROOT, 'build/cuda/kernels/cuda/*.ptxas')):
        with open(path) as report:
            text = report.read()
        for part in text.split('Compiling entry function ')[1:]:
            name, arch = re.match(r"'([^']+)' for 'sm_(\d+)'", part).groups()
            spills = [int(n) for n in re.search(r'(\d+) bytes spill stores, (\d+) bytes spill loads', part).groups()]
            shared = re.search(r'(\d+) bytes smem', part)
            found[name, int(arch)] = (int(re.search(r'Used (\d+) registers', part).group(1)),
                                      int(shared.group(1)) if shared else 0, sum(spills))
    names = demangle(sorted({name for name, _ in found}))
    return {(names[name], arch): used for (name, arch), used in found.items()}


def needs(found):
    """kernel -> the most registers and shared memory on any architecture"""
    most = {}
    for (kernel, _), (registers, shared, _) in found.items():
        before = most.get(kernel, (0, 0))
        most[kernel] = (max(before[0], registers), max(before[1], shared))
    return most


def read_budgets():
    with open(BUDGETS) as file:
        rows = [line.split() for line in file if line.strip() and not line.startswith('#')]
    return {kernel: (int(registers), int(shared)) for kernel, registers, shared in rows}


def record(most):
    with open(BUDGETS, 'w') as file:
        file.write('# kernel, registers a thread, bytes of static shared memory: the most on any architecture.\n'
                   '# Written by binaries.py --record; a change is a decision.\n')
        for kernel in sorted(most):
            file.write(f'{kernel} {most[kernel][0]} {most[kernel][1]}\n')


def code_in(path):
    """(kind, architecture) of the code in a library's fat binaries"""
    with open(path, 'rb') as file:
        data = file.read()
    found = set()
    magic = struct.pack('<I', FATBIN)
    at = data.find(magic)
    while at >= 0:
        _, _, head, size = struct.unpack_from('<IHHQ', data, at)
        entry, end = at + head, at + head + size
        while entry < end:
            kind, _, entry_head, entry_size = struct.unpack_from('<HHIQ', data, entry)
            found.add((kind, struct.unpack_from('<I', data, entry + 28)[0]))
            entry += entry_head + entry_size
        at = data.find(magic, end)
    return found


def main():
    found = compiled()
    if sys.argv[1:] == ['--record']:
        record(needs(found))
        return 0
    archs = architectures()
    budgets = read_budgets()
    most = needs(found)
    kernels = sorted(most)
    check(len(kernels) > 0, f'{len(kernels)} kernels are compiled')
    check(set(kernels) == set(budgets), 'each has a budget, and each budget a kernel',
          *sorted(set(kernels) ^ set(budgets)))
    missing = [f'{k} for sm_{a}' for k in kernels for a in archs if (k, a) not in found]
    check(not missing, f'for {len(archs)} architectures each', *missing)
    spilling = [f'{k} on sm_{a}: {used[2]} bytes' for (k, a), used in sorted(found.items()) if used[2] > 0]
    check(not spilling, 'none spills', *spilling)
    for kernel in sorted(set(kernels) & set(budgets)):
        over = [f'sm_{a}: {used[0]} registers, {used[1]} bytes shared' for (k, a), used in sorted(found.items())
                if k == kernel and (used[0] > budgets[k][0] or used[1] > budgets[k][1])]
        check(not over, f'{kernel} keeps to {budgets[kernel][0]} registers and {budgets[kernel][1]} bytes', *over)
    library = os.path.join(ROOT, 'residual_cuda.so')
    code = code_in(library) if os.path.exists(library) else set()
    for arch in archs:
        check((MACHINE_CODE, arch) in code, f'machine code for sm_{arch}')
    check((PTX, archs[-1]) in code, f'PTX of {archs[-1]}')
    print(f'1..{number}')
    return 1 if failures else 0


sys.exit(main())
