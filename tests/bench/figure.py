"""figure.py MADE.csv DOCUMENTED.csv: are the cells of MADE those of DOCUMENTED, number by number?"""

import csv
import sys

TIMES = {"training_s", "tagging_s"}


def cells(path):
    with open(path, newline="") as f:
        return {row["key"]: {k: v for k, v in row.items() if k not in TIMES} for row in csv.DictReader(f)}


def main():
    made, documented = (cells(path) for path in sys.argv[1:3])
    others = [key for key in made if documented.get(key) != made[key]]
    for key in others:
        print(f"made:       {made[key]}\ndocumented: {documented.get(key)}")
    print(f"{len(made)} cells made again, {len(made) - len(others)} of them with the documented numbers")
    sys.exit(1 if others or not made else 0)


if __name__ == "__main__":
    main()
