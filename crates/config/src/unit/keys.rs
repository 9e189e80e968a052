//! The directives of unit files, and what we do with each (unit-directives, "Unknown or unsupportable
//! directives").

/// What we do with a directive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Honoured, or harmless text: silent.
    Silent,
    /// Hardening that we do not apply yet: one warning a unit, and it runs.
    Hardening,
    /// Would change the unit's life and is not built yet: the unit is refused.
    Refused,
    /// Not a directive we know: a warning.
    Unknown,
}

const UNIT_SILENT: &str = "Description Documentation After Before Requires Wants StartLimitIntervalSec \
    StartLimitInterval StartLimitBurst DefaultDependencies IgnoreOnIsolate StopWhenUnneeded RefuseManualStart \
    RefuseManualStop AllowIsolate CollectMode SourcePath RequiresMountsFor WantsMountsFor OnFailureJobMode \
    OnSuccessJobMode JobTimeoutSec JobRunningTimeoutSec RebootArgument SurviveFinalKillSignal";

const UNIT_REFUSED: &str = "Requisite BindsTo PartOf Upholds Conflicts OnFailure OnSuccess PropagatesReloadTo \
    ReloadPropagatedFrom PropagatesStopTo StopPropagatedFrom JoinsNamespaceOf FailureAction SuccessAction \
    StartLimitAction JobTimeoutAction";

const SERVICE_SILENT: &str = "Type User Group WorkingDirectory Environment EnvironmentFile PassEnvironment \
    ExecStart ExecStop ExecReload Restart RestartSec SuccessExitStatus RestartPreventExitStatus \
    RestartForceExitStatus StartLimitInterval StartLimitIntervalSec StartLimitBurst TimeoutSec TimeoutStartSec \
    TimeoutStopSec TimeoutAbortSec KillSignal KillMode SendSIGKILL IgnoreSIGPIPE UMask Nice OOMScoreAdjust \
    NoNewPrivileges StandardOutput StandardError SyslogIdentifier LimitCPU LimitFSIZE LimitDATA LimitSTACK \
    LimitCORE LimitRSS LimitNOFILE LimitAS LimitNPROC LimitMEMLOCK LimitLOCKS LimitSIGPENDING LimitMSGQUEUE \
    LimitNICE LimitRTPRIO LimitRTTIME PIDFile GuessMainPID NotifyAccess BusName Slice SyslogFacility SyslogLevel \
    SyslogLevelPrefix LogLevelMax LogRateLimitIntervalSec LogRateLimitBurst LogExtraFields LogNamespace \
    UtmpIdentifier UtmpMode TTYPath TTYReset TTYVHangup TTYVTDisallocate TTYRows TTYColumns NonBlocking \
    FileDescriptorStoreMax FileDescriptorStorePreserve RuntimeDirectoryMode RuntimeDirectoryPreserve \
    StateDirectoryMode CacheDirectoryMode LogsDirectoryMode ConfigurationDirectoryMode WatchdogSignal \
    CoredumpFilter USBFunctionDescriptors \
    USBFunctionStrings TimeoutCleanSec KeyringMode";

const HARDENING: &str = "PrivateTmp PrivateDevices PrivateNetwork PrivateUsers PrivateMounts PrivateIPC PrivatePIDs \
    ProtectSystem ProtectHome ProtectControlGroups ProtectKernelModules ProtectKernelTunables ProtectKernelLogs \
    ProtectHostname ProtectClock ProtectProc ProcSubset ReadWritePaths ReadOnlyPaths InaccessiblePaths ExecPaths \
    NoExecPaths ReadWriteDirectories ReadOnlyDirectories InaccessibleDirectories TemporaryFileSystem \
    BindPaths BindReadOnlyPaths MountFlags MountAPIVFS MemoryDenyWriteExecute RestrictNamespaces \
    RestrictAddressFamilies RestrictRealtime RestrictSUIDSGID RestrictFileSystems LockPersonality RemoveIPC \
    SystemCallArchitectures SystemCallFilter SystemCallErrorNumber SystemCallLog SecureBits AppArmorProfile \
    SELinuxContext SmackProcessLabel IPAddressAllow IPAddressDeny IPIngressFilterPath IPEgressFilterPath \
    SocketBindAllow SocketBindDeny RestrictNetworkInterfaces DeviceAllow DevicePolicy Delegate DelegateSubgroup \
    DisableControllers OOMPolicy TasksMax TasksAccounting CPUAccounting CPUQuota CPUQuotaPeriodSec CPUShares \
    CPUWeight StartupCPUWeight StartupCPUShares AllowedCPUs AllowedMemoryNodes MemoryAccounting MemoryMin \
    MemoryLow MemoryHigh MemoryMax MemorySwapMax MemoryLimit MemoryZSwapMax BlockIOAccounting BlockIOWeight \
    IOAccounting IOWeight IODeviceWeight IOReadBandwidthMax IOWriteBandwidthMax IOReadIOPSMax IOWriteIOPSMax \
    IPAccounting ManagedOOMSwap ManagedOOMMemoryPressure ManagedOOMMemoryPressureLimit ManagedOOMPreference \
    MemoryPressureWatch MemoryPressureThresholdSec CPUSchedulingPolicy CPUSchedulingPriority \
    CPUSchedulingResetOnFork CPUAffinity NUMAPolicy NUMAMask IOSchedulingClass IOSchedulingPriority \
    TimerSlackNSec Personality MemoryKSM NetworkNamespacePath IPCNamespacePath";

const SERVICE_REFUSED: &str = "ExecStartPre ExecStartPost ExecStopPost ExecCondition ExecReloadPost ExitType \
    RemainAfterExit WatchdogSec RuntimeMaxSec RuntimeRandomizedExtraSec RestartMode RestartSteps \
    RestartMaxDelaySec RestartKillSignal FinalKillSignal SendSIGHUP RuntimeDirectory StateDirectory \
    CacheDirectory LogsDirectory ConfigurationDirectory Sockets PermissionsStartOnly RootDirectoryStartOnly \
    RootDirectory RootImage RootHash RootVerity MountImages ExtensionImages ExtensionDirectories DynamicUser \
    SupplementaryGroups PAMName CapabilityBoundingSet AmbientCapabilities UnsetEnvironment StandardInput \
    StandardInputText StandardInputData LoadCredential LoadCredentialEncrypted SetCredential \
    SetCredentialEncrypted ImportCredential ReloadSignal OpenFile StartLimitAction FailureAction SuccessAction \
    SetLoginEnvironment TimeoutStartFailureMode TimeoutStopFailureMode";

/// Each stands behind `Condition` and behind `Assert`.
const CHECKS: &str = "PathExists PathExistsGlob PathIsDirectory PathIsSymbolicLink PathIsMountPoint PathIsReadWrite \
    PathIsEncrypted PathIsSocket DirectoryNotEmpty FileNotEmpty FileIsExecutable User Group Host KernelCommandLine \
    KernelVersion Version Credential Environment Architecture Firmware Virtualization Security Capability ACPower \
    NeedsUpdate FirstBoot ControlGroupController Memory CPUs CPUFeature OSRelease MemoryPressure CPUPressure \
    IOPressure KernelModuleLoaded";

/// Switches, and settings that are off with the words of a switch. For all others `0` and `off` are
/// values such as a CPU, a limit or a name.
const SWITCHES: &str = "PrivateTmp PrivateDevices PrivateNetwork PrivateUsers PrivateMounts PrivateIPC PrivatePIDs \
    ProtectSystem ProtectHome ProtectControlGroups ProtectKernelModules ProtectKernelTunables ProtectKernelLogs \
    ProtectHostname ProtectClock MountAPIVFS MemoryDenyWriteExecute RestrictNamespaces RestrictRealtime \
    RestrictSUIDSGID LockPersonality RemoveIPC Delegate TasksAccounting CPUAccounting MemoryAccounting \
    BlockIOAccounting IOAccounting IPAccounting CPUSchedulingResetOnFork MemoryKSM MemoryPressureWatch \
    RemainAfterExit SendSIGHUP PermissionsStartOnly RootDirectoryStartOnly DynamicUser SetLoginEnvironment";

const INSTALL_SILENT: &str = "WantedBy RequiredBy UpheldBy Alias Also DefaultInstance";

fn has(list: &str, key: &str) -> bool {
    list.split_ascii_whitespace().any(|k| k == key)
}

/// True for the sections of a service unit.
pub(crate) fn is_section(section: &str) -> bool {
    matches!(section, "Unit" | "Service" | "Install")
}

/// What we do with `key=value` in a section.
pub(crate) fn fate(section: &str, key: &str, value: &str) -> Fate {
    if key.starts_with("X-") {
        return Fate::Silent;
    }
    let found = match section {
        "Unit" if has(UNIT_SILENT, key) => Fate::Silent,
        "Unit" if has(UNIT_REFUSED, key) || is_condition(key) => Fate::Refused,
        "Service" if has(SERVICE_SILENT, key) => Fate::Silent,
        "Service" if has(HARDENING, key) => Fate::Hardening,
        "Service" if has(SERVICE_REFUSED, key) => Fate::Refused,
        "Install" if has(INSTALL_SILENT, key) => Fate::Silent,
        _ => return Fate::Unknown,
    };
    if found != Fate::Silent && says_nothing(key, value) { Fate::Silent } else { found }
}

fn is_condition(key: &str) -> bool {
    ["Condition", "Assert"].iter().any(|p| key.strip_prefix(p).is_some_and(|rest| has(CHECKS, rest)))
}

/// True when a later line of the same section takes an earlier one back, as drop-ins do: an empty value
/// clears, the last word on a switch counts, and one empty condition clears all of them.
pub(crate) fn takes_back(key: &str, later: &str, value: &str) -> bool {
    let kin = || ["Condition", "Assert"].iter().any(|p| key.starts_with(p) && later.starts_with(p));
    match value {
        "" => key == later || (is_condition(key) && is_condition(later) && kin()),
        _ => key == later && has(SWITCHES, key),
    }
}

/// A value that only repeats the default, or clears what was set before.
fn says_nothing(key: &str, value: &str) -> bool {
    let is = |words: &[&str]| words.iter().any(|w| value.eq_ignore_ascii_case(w));
    match key {
        // An empty set takes all capabilities away, which is not the default.
        "CapabilityBoundingSet" => false,
        _ if value.is_empty() => true,
        "WatchdogSec" | "RuntimeRandomizedExtraSec" | "MemoryMin" | "MemoryLow" => is(&["0"]),
        "TimeoutStartFailureMode" | "TimeoutStopFailureMode" => is(&["terminate"]),
        "RuntimeMaxSec" => is(&["infinity"]),
        "RestartMode" => is(&["normal"]),
        "RestartSteps" => is(&["0"]),
        "RestartMaxDelaySec" => is(&["infinity"]),
        "ExitType" => is(&["main"]),
        "FinalKillSignal" => is(&["SIGKILL", "KILL", "9"]),
        "StandardInput" => is(&["null"]),
        "StartLimitAction" | "FailureAction" | "SuccessAction" | "JobTimeoutAction" => is(&["none"]),
        // Targets, mounts and the like are not run by us: a relation to them changes nothing.
        "Conflicts"
        | "PartOf"
        | "BindsTo"
        | "Requisite"
        | "PropagatesReloadTo"
        | "ReloadPropagatedFrom"
        | "PropagatesStopTo"
        | "StopPropagatedFrom" => value.split_ascii_whitespace().all(super::lower::is_foreign),
        "OOMPolicy" => is(&["stop", "continue"]),
        "DevicePolicy" => is(&["auto"]),
        "ProcSubset" => is(&["all"]),
        "ProtectProc" => is(&["default"]),
        _ => has(SWITCHES, key) && super::fields::boolean(value) == Ok(false),
    }
}

/// The nearest directive of a section.
pub(crate) fn suggest(section: &str, key: &str) -> Option<String> {
    let names = |p: &'static str| CHECKS.split_ascii_whitespace().map(move |name| format!("{p}{name}"));
    let checks: Vec<String> = match section {
        "Unit" => names("Condition").chain(names("Assert")).collect(),
        _ => Vec::new(),
    };
    let mut all: Vec<&str> = known(section).collect();
    all.extend(checks.iter().map(String::as_str));
    crate::fault::did_you_mean(key, all)
}

/// All directives of a section, but for the checks.
pub(crate) fn known(section: &str) -> impl Iterator<Item = &'static str> {
    let lists: &[&'static str] = match section {
        "Unit" => &[UNIT_SILENT, UNIT_REFUSED],
        "Service" => &[SERVICE_SILENT, HARDENING, SERVICE_REFUSED],
        _ => &[INSTALL_SILENT],
    };
    lists.iter().flat_map(|l| l.split_ascii_whitespace())
}

/// The section that a directive belongs to, when it stands in a wrong one.
pub(crate) fn home_of(key: &str) -> Option<&'static str> {
    if is_condition(key) {
        return Some("Unit");
    }
    ["Unit", "Service", "Install"].into_iter().find(|section| known(section).any(|k| k == key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fates() {
        for (section, key, value, want) in [
            ("Service", "ExecStart", "/x", Fate::Silent),
            ("Service", "PrivateTmp", "true", Fate::Hardening),
            ("Service", "PrivateTmp", "false", Fate::Silent),
            ("Service", "ExecStartPre", "/x", Fate::Refused),
            ("Service", "ExecStartPre", "", Fate::Silent),
            ("Service", "RemainAfterExit", "no", Fate::Silent),
            ("Service", "RemainAfterExit", "yes", Fate::Refused),
            ("Service", "CapabilityBoundingSet", "", Fate::Refused),
            ("Service", "DynamicUser", "yes", Fate::Refused),
            ("Service", "X-Foo", "1", Fate::Silent),
            ("Service", "After", "x", Fate::Unknown),
            ("Service", "CPUAffinity", "0", Fate::Hardening),
            ("Service", "MemorySwapMax", "0", Fate::Hardening),
            ("Service", "SupplementaryGroups", "0", Fate::Refused),
            ("Service", "TimeoutStopFailureMode", "abort", Fate::Refused),
            ("Service", "TimeoutStopFailureMode", "terminate", Fate::Silent),
            ("Service", "TimeoutStartFailureMode", "kill", Fate::Refused),
            ("Unit", "ConditionPathExists", "/x", Fate::Refused),
            ("Unit", "ConditionPathExists", "", Fate::Silent),
            ("Unit", "AssertCPUs", "2", Fate::Refused),
            ("Unit", "ConditionPathExist", "/x", Fate::Unknown),
            ("Unit", "Condition", "x", Fate::Unknown),
            ("Service", "ConditionUser", "x", Fate::Unknown),
            ("Unit", "Conflicts", "shutdown.target", Fate::Silent),
            ("Unit", "Conflicts", "a.service shutdown.target", Fate::Refused),
            ("Install", "WantedBy", "default.target", Fate::Silent),
        ] {
            assert_eq!(fate(section, key, value), want, "{section}.{key}={value}");
        }
        assert_eq!(home_of("After"), Some("Unit"));
        assert_eq!(home_of("AssertUser"), Some("Unit"));
        let hint = suggest("Unit", "CondtionPathExists");
        assert_eq!(hint.as_deref(), Some("did you mean `ConditionPathExists`?"));
    }

    #[test]
    fn later_lines() {
        for (key, later, value, want) in [
            ("ExecStartPre", "ExecStartPre", "", true),
            ("ExecStartPre", "ExecStartPre", "/x", false),
            ("ExecStartPre", "ExecStopPost", "", false),
            ("PrivateTmp", "PrivateTmp", "no", true),
            ("ConditionUser", "ConditionPathExists", "", true),
            ("ConditionUser", "ConditionUser", "x", false),
            ("ConditionUser", "AssertUser", "", false),
        ] {
            assert_eq!(takes_back(key, later, value), want, "{key} {later}={value}");
        }
    }

    #[test]
    fn no_directive_is_in_two_lists() {
        for section in ["Unit", "Service", "Install"] {
            let mut all: Vec<&str> = known(section).collect();
            let before = all.len();
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), before, "{section}");
        }
    }
}
