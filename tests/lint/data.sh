#!/bin/sh
# JSON and YAML files parse, without duplicate keys. Helm templates are not YAML yet.
# Usage: data.sh SOURCE_DIR
cd "$1" || exit 2
if ! command -v python3 >/dev/null; then
	echo "SKIPPED: no python3 here" >&2
	exit 77
fi
find . \( -name build -o -name .git -o -name node_modules -o -name corpus -o -path ./tests/data \
	-o -path ./helm/pipeline-guard/templates \) -prune -o -type f \
	\( -name '*.json' -o -name '*.yaml' -o -name '*.yml' \) -print | sort | python3 -c '
import json, sys

try:
    import yaml
except ImportError:
    yaml = None
    print("no PyYAML here: YAML files are left to the tests that load them", file=sys.stderr)


def unique(pairs):
    keys = [k for k, _ in pairs]
    for key in keys:
        if keys.count(key) > 1:
            raise ValueError("duplicate key " + repr(key))
    return dict(pairs)


if yaml:
    class Loader(yaml.SafeLoader):
        pass

    def mapping(loader, node):
        return unique([(loader.construct_object(k, deep=True), loader.construct_object(v, deep=True))
                       for k, v in node.value if k.tag != "tag:yaml.org,2002:merge"])

    Loader.add_constructor("tag:yaml.org,2002:map", mapping)

status = 0
for name in sys.stdin.read().splitlines():
    try:
        with open(name, encoding="utf-8") as f:
            if name.endswith(".json"):
                json.load(f, object_pairs_hook=unique)
            elif yaml:
                for _ in yaml.load_all(f, Loader):
                    pass
    except Exception as why:
        print(f"{name}: {why}", file=sys.stderr)
        status = 1
sys.exit(status)
'
