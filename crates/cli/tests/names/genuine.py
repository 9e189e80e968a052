# Runs the genuine supervisord once for every folder given: in a fork of this process, which has imported
# it already. A folder holds `args` (one word a line) and gets `out`, `err` and `code`.
import os
import sys

from supervisor import supervisord

program = sys.argv[1]
for folder in sys.argv[2:]:
    child = os.fork()
    if child == 0:
        os.chdir(folder)
        for number, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        with open("args") as f:
            words = f.read().split("\n")[:-1]
        sys.argv = [program] + words
        code = 0
        try:
            supervisord.main()
        except SystemExit as end:
            code = end.code or 0
        except BaseException as bug:
            sys.stderr.write("bug: %r\n" % (bug,))
            code = 1
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    status = os.waitpid(child, 0)[1]
    with open(os.path.join(folder, "code"), "w") as f:
        f.write(str(os.waitstatus_to_exitcode(status)))
