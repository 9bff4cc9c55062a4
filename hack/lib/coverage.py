#!/usr/bin/env python3
"""hack/lib/coverage.py BUILD [--write]: the lines of each room that were run, from what GCC's --coverage left in BUILD."""
import collections
import concurrent.futures
import json
import os
import re
import subprocess
import sys

build = os.path.abspath(sys.argv[1])
root = os.getcwd()
page = 'docs/testing.md'


def lines_of(notes):
    """Of one object: the product's lines in it, and whether each was run."""
    out = subprocess.run(['gcov', '--json-format', '--stdout', notes], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                         cwd=os.path.dirname(notes), check=True).stdout
    found = collections.defaultdict(dict)
    for document in out.splitlines():
        report = json.loads(document)
        for file in report['files']:
            path = os.path.realpath(os.path.join(report['current_working_directory'], file['file']))
            path = os.path.relpath(path, root)
            if path.startswith(('..', 'build/', 'test/')) or '/testing/' in path or re.search(r'_(test|fuzzer)\.cc$', path):
                continue
            for line in file['lines']:
                number = line['line_number']
                found[path][number] = found[path].get(number, False) or line['count'] > 0
    return found


notes = [os.path.join(folder, name) for folder, _, names in os.walk(build) for name in names if name.endswith('.gcno')]
files = collections.defaultdict(dict)
with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    for found in pool.map(lines_of, notes):
        for path, lines in found.items():
            for number, was_run in lines.items():
                files[path][number] = files[path].get(number, False) or was_run
rooms = collections.defaultdict(lambda: [0, 0])
for path, lines in files.items():
    for name in (os.path.dirname(path), 'all'):
        rooms[name][0] += len(lines)
        rooms[name][1] += sum(lines.values())
rows = [f'| {"**all**" if name == "all" else "`" + name + "`"} | {of} | {100 * run / of:.0f} % |'
        for name, (of, run) in sorted(rooms.items(), key=lambda room: (room[0] == 'all', room[0]))]
table = '\n'.join(['| room | lines | run |', '|---|---|---|', *rows])
print(table)
if '--write' in sys.argv:
    with open(page, encoding='utf-8') as file:
        text = file.read()
    text, count = re.subn(r'(<!-- coverage -->\n).*?(<!-- end -->)', lambda m: m[1] + table + '\n' + m[2], text, flags=re.S)
    assert count == 1, f'{page} has no place for the table'
    with open(page, 'w', encoding='utf-8') as file:
        file.write(text)
