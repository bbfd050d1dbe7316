"""Rows "tensor|{shape}|hex" on standard input, parts of a tensor in order, to FOLDER/weights.txt and weights.bin."""
import sys

shapes, numbers = {}, {}
for line in sys.stdin:
    name, shape, digits = line.rstrip("\n").split("|")
    shapes[name] = [int(n) for n in shape.strip("{}").split(",")]
    numbers.setdefault(name, bytearray()).extend(bytes.fromhex(digits))
with open(sys.argv[1] + "/weights.txt", "w") as names, open(sys.argv[1] + "/weights.bin", "wb") as out:
    for name, shape in shapes.items():
        if len(shape) <= 2 and len(numbers[name]) == 4 * shape[0] * (shape[1] if len(shape) > 1 else 1):
            print(name, *([1] + shape if len(shape) == 1 else shape), file=names)
            out.write(numbers[name])
