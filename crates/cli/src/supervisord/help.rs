//! `supervisord -h`.

/// The options, one or two lines each.
const OPTIONS: &str = "\
-c/--configuration FILENAME -- read this file; without it the usual places are searched
-n/--nodaemon -- stay in the foreground (nodaemon=true in the file)
-s/--silent -- in the foreground, keep the log off standard output (silent=true)
-h/--help -- print this text and exit
-v/--version -- print the version and exit
-u/--user USER -- run as this user, given by name or number
-m/--umask UMASK -- file mode mask of the background process (022)
-d/--directory DIRECTORY -- working directory of the background process
-l/--logfile FILENAME -- the main log, or the word syslog
-y/--logfile_maxbytes BYTES -- size at which the main log is rotated
-z/--logfile_backups NUM -- how many rotated main logs are kept
-e/--loglevel LEVEL -- least important level that is logged
                       (critical,error,warn,info,debug,trace,blather)
-j/--pidfile FILENAME -- where the process id is written
-i/--identifier STR -- name of this daemon
-q/--childlogdir DIRECTORY -- folder of the programs' automatic logs
-k/--nocleanup -- leave automatic logs of an earlier run alone
-a/--minfds NUM -- refuse to start with fewer file descriptors
-t/--strip_ansi -- take ANSI escape sequences out of the programs' output
--minprocs NUM -- refuse to start with fewer processes
--profile_options OPTIONS -- accepted and without effect
";

/// The whole text. `prog` is the program as it was called.
pub(super) fn text(prog: &str) -> String {
    format!(
        "supervisord -- starts programs and keeps them running.\n\nUsage: {prog} [options]\n\nOptions:\n{OPTIONS}\n"
    )
}
