//! All methods: names, parameters, results and help. Everything that introspection says comes from here.

/// What a parameter may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    /// A string.
    Text,
    /// A whole number, also as text.
    Number,
    /// True or false; any number or text has a truth too, as clients rely on.
    Flag,
    /// A list.
    List,
    /// Declared as a string; the method looks itself.
    Any,
}

impl Type {
    pub(super) fn name(self) -> &'static str {
        match self {
            Type::Text | Type::Any => "string",
            Type::Number => "int",
            Type::Flag => "boolean",
            Type::List => "array",
        }
    }
}

/// What is done. Aliases share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    GetVersion,
    GetSupervisorVersion,
    GetIdentification,
    GetState,
    GetPid,
    ReadLog,
    ClearLog,
    Shutdown,
    Restart,
    ReloadConfig,
    AddGroup,
    RemoveGroup,
    Start,
    StartGroup,
    StartAll,
    Stop,
    StopGroup,
    StopAll,
    Signal,
    SignalGroup,
    SignalAll,
    GetProcessInfo,
    GetAllProcessInfo,
    GetAllConfigInfo,
    ReadStdout,
    ReadStderr,
    TailStdout,
    TailStderr,
    ClearProcessLogs,
    ClearAllProcessLogs,
    SendStdin,
    SendEvent,
    ListMethods,
    Help,
    Signature,
    Multicall,
}

/// A method as clients see it.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) method: Method,
    /// Name and type of each parameter; those after the first `needs` may be left out.
    pub(super) params: &'static [(&'static str, Type)],
    pub(super) needs: usize,
    pub(super) result: &'static str,
    pub(super) help: &'static str,
}

const NAME: (&str, Type) = ("name", Type::Text);
const OFFSET: (&str, Type) = ("offset", Type::Number);
const LENGTH: (&str, Type) = ("length", Type::Number);
const WAIT: (&str, Type) = ("wait", Type::Flag);
const SIGNAL: (&str, Type) = ("signal", Type::Any);

const fn row(
    name: &'static str,
    method: Method,
    params: &'static [(&'static str, Type)],
    result: &'static str,
    help: &'static str,
) -> Row {
    let mut needs = params.len();
    // The only parameter that has a default is the last one, `wait`.
    if needs > 0 && matches!(params[needs - 1].1, Type::Flag) {
        needs -= 1;
    }
    Row { name, method, params, needs, result, help }
}

/// Sorted by name.
pub(super) static TABLE: [Row; 41] = [
    row(
        "supervisor.addProcessGroup",
        Method::AddGroup,
        &[NAME],
        "boolean",
        "Takes a group from the last read configuration into service and starts what starts by itself.",
    ),
    row(
        "supervisor.clearAllProcessLogs",
        Method::ClearAllProcessLogs,
        &[],
        "array",
        "Empties the logs of all processes.",
    ),
    row("supervisor.clearLog", Method::ClearLog, &[], "boolean", "Empties the daemon's own log."),
    row(
        "supervisor.clearProcessLog",
        Method::ClearProcessLogs,
        &[NAME],
        "boolean",
        "The same as clearProcessLogs.",
    ),
    row(
        "supervisor.clearProcessLogs",
        Method::ClearProcessLogs,
        &[NAME],
        "boolean",
        "Empties both logs of a process.",
    ),
    row("supervisor.getAPIVersion", Method::GetVersion, &[], "string", "The version of this interface."),
    row(
        "supervisor.getAllConfigInfo",
        Method::GetAllConfigInfo,
        &[],
        "array",
        "What the last read configuration says of each process, one struct each.",
    ),
    row(
        "supervisor.getAllProcessInfo",
        Method::GetAllProcessInfo,
        &[],
        "array",
        "The state of all processes, one struct each.",
    ),
    row("supervisor.getIdentification", Method::GetIdentification, &[], "string", "The daemon's identifier."),
    row("supervisor.getPID", Method::GetPid, &[], "int", "The daemon's process id."),
    row("supervisor.getProcessInfo", Method::GetProcessInfo, &[NAME], "struct", "The state of one process."),
    row(
        "supervisor.getState",
        Method::GetState,
        &[],
        "struct",
        "The state of the daemon, as number and name.",
    ),
    row(
        "supervisor.getSupervisorVersion",
        Method::GetSupervisorVersion,
        &[],
        "string",
        "The version of Supervisor whose behaviour this is.",
    ),
    row("supervisor.getVersion", Method::GetVersion, &[], "string", "The same as getAPIVersion."),
    row(
        "supervisor.readLog",
        Method::ReadLog,
        &[OFFSET, LENGTH],
        "string",
        "A part of the daemon's own log. Length 0 is all that follows; a negative offset counts from the end.",
    ),
    row("supervisor.readMainLog", Method::ReadLog, &[OFFSET, LENGTH], "string", "The same as readLog."),
    row(
        "supervisor.readProcessLog",
        Method::ReadStdout,
        &[NAME, OFFSET, LENGTH],
        "string",
        "The same as readProcessStdoutLog.",
    ),
    row(
        "supervisor.readProcessStderrLog",
        Method::ReadStderr,
        &[NAME, OFFSET, LENGTH],
        "string",
        "A part of what a process wrote to its standard error.",
    ),
    row(
        "supervisor.readProcessStdoutLog",
        Method::ReadStdout,
        &[NAME, OFFSET, LENGTH],
        "string",
        "A part of what a process wrote to its standard output.",
    ),
    row(
        "supervisor.reloadConfig",
        Method::ReloadConfig,
        &[],
        "array",
        "Reads the configuration again and says which groups are new, changed and gone. Nothing that runs is touched.",
    ),
    row(
        "supervisor.removeProcessGroup",
        Method::RemoveGroup,
        &[NAME],
        "boolean",
        "Takes a group out of service; its processes must be stopped.",
    ),
    row(
        "supervisor.restart",
        Method::Restart,
        &[],
        "boolean",
        "Ends all processes, reads the configuration and starts again.",
    ),
    row(
        "supervisor.sendProcessStdin",
        Method::SendStdin,
        &[NAME, ("chars", Type::Any)],
        "boolean",
        "Writes text to the standard input of a process, as UTF-8.",
    ),
    row(
        "supervisor.sendRemoteCommEvent",
        Method::SendEvent,
        &[("type", Type::Any), ("data", Type::Any)],
        "boolean",
        "Sends an event to all listeners that want REMOTE_COMMUNICATION.",
    ),
    row("supervisor.shutdown", Method::Shutdown, &[], "boolean", "Ends all processes and the daemon."),
    row(
        "supervisor.signalAllProcesses",
        Method::SignalAll,
        &[SIGNAL],
        "array",
        "Sends a signal, by name or number, to all processes.",
    ),
    row(
        "supervisor.signalProcess",
        Method::Signal,
        &[NAME, SIGNAL],
        "boolean",
        "Sends a signal, by name or number, to a process.",
    ),
    row(
        "supervisor.signalProcessGroup",
        Method::SignalGroup,
        &[NAME, SIGNAL],
        "array",
        "Sends a signal, by name or number, to all processes of a group.",
    ),
    row(
        "supervisor.startAllProcesses",
        Method::StartAll,
        &[WAIT],
        "array",
        "Starts all processes that do not run.",
    ),
    row(
        "supervisor.startProcess",
        Method::Start,
        &[NAME, WAIT],
        "boolean",
        "Starts a process, or with group:* all of a group.",
    ),
    row(
        "supervisor.startProcessGroup",
        Method::StartGroup,
        &[NAME, WAIT],
        "array",
        "Starts all processes of a group that do not run.",
    ),
    row("supervisor.stopAllProcesses", Method::StopAll, &[WAIT], "array", "Stops all processes that run."),
    row(
        "supervisor.stopProcess",
        Method::Stop,
        &[NAME, WAIT],
        "boolean",
        "Stops a process, or with group:* all of a group.",
    ),
    row(
        "supervisor.stopProcessGroup",
        Method::StopGroup,
        &[NAME, WAIT],
        "array",
        "Stops all processes of a group that run.",
    ),
    row(
        "supervisor.tailProcessLog",
        Method::TailStdout,
        &[NAME, OFFSET, LENGTH],
        "array",
        "The same as tailProcessStdoutLog.",
    ),
    row(
        "supervisor.tailProcessStderrLog",
        Method::TailStderr,
        &[NAME, OFFSET, LENGTH],
        "array",
        "The end of what a process wrote to its standard error: text, size of the log, and whether more than length bytes are new since offset.",
    ),
    row(
        "supervisor.tailProcessStdoutLog",
        Method::TailStdout,
        &[NAME, OFFSET, LENGTH],
        "array",
        "The end of what a process wrote to its standard output: text, size of the log, and whether more than length bytes are new since offset.",
    ),
    row("system.listMethods", Method::ListMethods, &[], "array", "The names of all methods."),
    row("system.methodHelp", Method::Help, &[("name", Type::Any)], "string", "What a method does."),
    row(
        "system.methodSignature",
        Method::Signature,
        &[("name", Type::Any)],
        "array",
        "The types of a method's result and of its parameters.",
    ),
    row(
        "system.multicall",
        Method::Multicall,
        &[("calls", Type::List)],
        "array",
        "Makes several calls, one after another. Each is a struct of methodName and params; its place in the result holds its value, or its fault as a struct.",
    ),
];

/// The row of a method.
impl Row {
    /// Introspection, which is always there.
    pub(super) fn is_system(&self) -> bool {
        self.name.starts_with("system.")
    }
}

pub(super) fn find(name: &str) -> Option<&'static Row> {
    TABLE.binary_search_by(|row| row.name.cmp(name)).ok().and_then(|i| TABLE.get(i))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_is_found() {
        assert!(TABLE.is_sorted_by_key(|row| row.name));
        for row in &TABLE {
            assert_eq!(find(row.name).map(|r| r.method), Some(row.method));
        }
        assert!(find("supervisor.").is_none());
    }
}
