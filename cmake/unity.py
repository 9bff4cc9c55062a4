"""Compiles several sources as one, so that what they have in common is compiled once. Sources that give one name to
two things are kept apart.

  cmake/unity.py --count SIZE SOURCE...      prints in how many groups of at most SIZE the sources can be
  cmake/unity.py OUTPUT... -- SOURCE...      writes the outputs, each of which includes one group of the sources
"""
import os
import re
import sys


def local_names(source):
    """Names that a source keeps for itself, and of an alias what it stands for: two may have the same one."""
    with open(source, encoding='utf-8') as file:
        text = file.read()
    inner = '\n'.join(re.findall(r'^namespace \{$(.*?)^\}  // namespace$', text, re.M | re.S))
    names = set(re.findall(r'^#define (\w+)', text, re.M))
    names |= set(re.findall(r'^static [^;{=]*?\b(\w+)(?:\(|\[| =)', text, re.M))
    names |= set(re.findall(r'^(?:struct|class|enum class|enum|union) (?:\w+\([^)]*\) )?(\w+)[^;\n]*$', inner, re.M))
    names |= set(re.findall(r'^(?!TEST|using|template)\w[\w:<>*&,. ]*?\b(\w+)(?:\[\w*\])?(?:\(| =|\{|;)', inner, re.M))
    aliases = re.findall(r'^(?:using|namespace) (\w+) = ([^;]*);', text, re.M)
    return {name: source for name in names} | dict(aliases)


class Group:
    """Sources that can be one text."""

    def __init__(self):
        self.sources, self.names = [], {}

    def takes(self, names):
        return all(self.names.get(name, meaning) == meaning for name, meaning in names.items())

    def add(self, source, names):
        self.sources.append(source)
        self.names |= names


def divide(sources, count):
    """The sources in `count` groups of about one size, or None where their names allow none."""
    groups = [Group() for _ in range(count)]
    size = -(-len(sources) // count)
    for source in sources:
        names = local_names(source)
        free = [group for group in groups if group.takes(names)]
        if not free:
            return None
        group = next((group for group in free if len(group.sources) < size), None)
        (group or min(free, key=lambda group: len(group.sources))).add(source, names)
    return [group.sources for group in groups]


def write(outputs, sources):
    groups = divide(sources, len(outputs))
    if groups is None:
        sys.exit('unity: more sources than before give one name to different things: configure this preset again')
    for output, members in zip(outputs, groups):
        # By relative names, so that ccache knows the text in another clone.
        text = ''.join(f'#include "{os.path.relpath(member, os.path.dirname(output))}"\n' for member in members)
        if not os.path.exists(output) or open(output, encoding='utf-8').read() != text:
            with open(output, 'w', encoding='utf-8') as file:
                file.write(text)


def main():
    if sys.argv[1] == '--count':
        size, sources = int(sys.argv[2]), sys.argv[3:]
        least = -(-len(sources) // size)
        print(next(count for count in range(least, len(sources) + 1) if divide(sources, count)))
    else:
        split = sys.argv.index('--')
        write(sys.argv[1:split], sys.argv[split + 1:])


if __name__ == '__main__':
    main()
