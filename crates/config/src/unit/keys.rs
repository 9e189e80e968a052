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
    TimeoutStartFailureMode TimeoutStopFailureMode CoredumpFilter USBFunctionDescriptors \
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
    SetLoginEnvironment";

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
    key.starts_with("Condition") || key.starts_with("Assert")
}

/// A value that only repeats the default, or clears what was set before.
fn says_nothing(key: &str, value: &str) -> bool {
    let is = |words: &[&str]| words.iter().any(|w| value.eq_ignore_ascii_case(w));
    match key {
        // An empty set takes all capabilities away, which is not the default.
        "CapabilityBoundingSet" => false,
        _ if value.is_empty() => true,
        "WatchdogSec" => is(&["0"]),
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
        "SystemCallArchitectures" | "MountFlags" => false,
        _ => is(&["no", "false", "off", "0"]),
    }
}

/// All directives of a section, for a suggestion.
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
            ("Unit", "ConditionPathExists", "/x", Fate::Refused),
            ("Unit", "Conflicts", "shutdown.target", Fate::Silent),
            ("Unit", "Conflicts", "a.service shutdown.target", Fate::Refused),
            ("Install", "WantedBy", "default.target", Fate::Silent),
        ] {
            assert_eq!(fate(section, key, value), want, "{section}.{key}={value}");
        }
        assert_eq!(home_of("After"), Some("Unit"));
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
