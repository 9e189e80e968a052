# Tells what it was started with, as one line into the pipe beside this file.
import json
import os
import sys

folder = os.path.dirname(os.path.abspath(__file__))
env = {k: v for k, v in os.environ.items()}
facts = {"argv": sys.argv[1:], "env": env, "cwd": os.getcwd(), "umask": os.umask(0)}
with open(os.path.join(folder, "pipe"), "w") as pipe:
    pipe.write(json.dumps(facts, sort_keys=True) + "\n")
