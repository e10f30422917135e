"""Trains a whole miniature, stage by stage, as a config says; killed at any time, the same command goes on where it was.

    python run.py DATA WORK CONFIG [--until clip] [--processes 2]

DATA is the folder that `world/export_dataset.ts` wrote; WORK, outside the tree or ignored, keeps checkpoints and logs
(`<stage>.pt` and `<stage>.jsonl`). The config is kept in WORK; a later one may ask for more steps or pictures, but not for another
model. Stages that have taken all their steps end at once. With `--processes`, every stage that trains is trained by so many
single-threaded processes that share each step: two on two cores go 1.3 to 1.6 times as fast as one with two threads (AMD EPYC).
"""
import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
STAGES = ["tokenizer", "pca", "vae", "clip", "sharp", "unet", "concepts"]
OPTIONAL = {"sharp", "concepts"}  # Only where the config has them.
# Options that name the pictures that a stage learns from, and those that it is tested on besides.
READS = {"tokenizer": [], "pca": ["names", "kinds"], "vae": ["names"], "clip": ["names"], "sharp": ["names"], "unet": ["names", "kinds"],
         "concepts": ["pictures", "test"]}
TESTED = {"vae": ["test"], "clip": ["test"], "sharp": ["test"]}

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("data", type=Path)
parser.add_argument("work", type=Path)
parser.add_argument("config", type=Path)
parser.add_argument("--until", choices=STAGES, default=STAGES[-1])
parser.add_argument("--processes", type=int, default=1)
args = parser.parse_args()

config = json.loads(args.config.read_text())
if unknown := set(config) - {"model", "names", "kinds", *STAGES}:
    parser.error(f"{args.config} has unknown parts: {', '.join(sorted(unknown))}")
if "names" not in config:
    parser.error(f'{args.config} has no "names" of pictures')
stages = [s for s in STAGES[: STAGES.index(args.until) + 1] if s in config or s not in OPTIONAL]


def sets(stage):
    """Names of the pictures that a stage reads, as its program will take them from the config."""
    own = {**{key: config.get(key, "") for key in ("names", "kinds")}, **config.get("vae" if stage == "sharp" else stage, {}),
           **config.get(stage, {})}
    return [name for key in READS[stage] for name in own.get(key, "").split(",") if name]


def flag(name, value):
    """An option of a program as its command line has it."""
    return [f"--{name}" if value else f"--no-{name}"] if isinstance(value, bool) else [f"--{name}", str(value)]


# All of it is looked for now: a stage may begin a day later.
names = sets("pca")
pictures = dict.fromkeys(name for stage in stages for name in [*sets(stage), *TESTED.get(stage, [])])
files = ["world.json", *(f"{name}.{end}" for name in pictures for end in ("rgb", "thing", "jsonl"))]
if "unet" in stages and config.get("kinds"):
    files.append(f"{config['kinds'].split(',')[0]}.portrait")
missing = [file for file in files if not (args.data / file).exists()]
if "unet" in stages and (uncoded := set(sets("unet")) - set(names)):
    parser.error(f"unet reads {', '.join(sorted(uncoded))}, of which pca makes no latents")
for i, stage in enumerate(stages):
    through = config.get(stage, {}).get("through")
    if through and through not in stages[:i] and not (args.work / f"{through}.pt").exists():
        parser.error(f"{stage} is to pass pictures through {through}, which no stage before it makes")
if missing:
    parser.error(f"{args.data} lacks {', '.join(missing)}: see world/export_dataset.ts")
args.work.mkdir(parents=True, exist_ok=True)
kept = args.work / "config.json"
if kept.exists() and json.loads(kept.read_text()).get("model") != config.get("model"):
    parser.error(f"{args.work} holds another model than {args.config} describes: name another folder")
kept.write_text(args.config.read_text())

# The two stages that compute, and what they leave; those that train know by their checkpoints whether they are done.
computed = {"tokenizer": ["tokenizer/vocab.json"], "pca": ["vae.pt", *(f"latents-{name}.npy" for name in names)]}
for stage in stages:
    if all((args.work / file).exists() for file in computed.get(stage, ["?"])):
        continue
    if stage == "tokenizer":
        command = ["tokenizer.py", args.data / "world.json", args.work / "tokenizer"]
    elif stage == "sharp":  # The decoder again, with other losses.
        options = [word for name, value in config[stage].items() for word in flag(name.replace("_", "-"), value)]
        command = ["vae.py", args.data, args.work, "--config", kept, "--tag", stage, *options]
    else:
        command = [f"{stage}.py", args.data, args.work, "--config", kept]
    command = [sys.executable, HERE / command[0], *command[1:]]
    if args.processes > 1 and stage in ("vae", "clip", "sharp", "unet", "concepts"):
        ranks = [[*command, "--rank", str(rank), "--ranks", str(args.processes)] for rank in range(args.processes)]
        team = [subprocess.Popen(one, env={**os.environ, "OMP_NUM_THREADS": "1"}) for one in ranks]
        code = max(abs(one.wait()) for one in team)
    else:
        code = subprocess.run(command).returncode
    if code:
        sys.exit(f"{stage} ended with {code}; the same command goes on from its last checkpoint")
