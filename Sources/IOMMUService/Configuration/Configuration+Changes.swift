/// What a reload finds changed.
package struct ConfigurationChanges: Sendable, Equatable {
    /// Keys whose new value holds from now on.
    package var live: [String] = []
    /// Keys whose new value needs a restart; the old one stays in force.
    package var needRestart: [String] = []

    /// Nothing has changed.
    package var isEmpty: Bool { live.isEmpty && needRestart.isEmpty }
}

extension Configuration {
    /// Takes over from a newly read configuration what can be changed while the daemon runs.
    ///
    /// - Returns: the changed keys, in file order.
    package mutating func reload(_ new: Configuration) -> ConfigurationChanges {
        var changes = ConfigurationChanges()
        if daemon.socket != new.daemon.socket { changes.needRestart.append("daemon.socket") }
        if daemon.state != new.daemon.state { changes.needRestart.append("daemon.state") }
        if daemon.logLevel != new.daemon.logLevel { changes.live.append("daemon.log_level") }
        if daemon.metrics != new.daemon.metrics { changes.needRestart.append("daemon.metrics") }
        if daemon.drainSeconds != new.daemon.drainSeconds { changes.live.append("daemon.drain_seconds") }
        if backend.type != new.backend.type { changes.needRestart.append("backend.type") }
        if backend.tableSpace != new.backend.tableSpace { changes.needRestart.append("backend.table_space") }
        if shares.fraction != new.shares.fraction { changes.live.append("limits.share") }
        if shares.byUser != new.shares.byUser { changes.live.append("share") }
        if access != new.access { changes.live.append("allow") }
        if topology.smmus != new.topology.smmus { changes.needRestart.append("smmu") }
        if topology.devices != new.topology.devices { changes.needRestart.append("device") }

        daemon.logLevel = new.daemon.logLevel
        daemon.drainSeconds = new.daemon.drainSeconds
        access = new.access
        shares = new.shares
        for key in LimitsConfiguration.keys where limits[keyPath: key.path] != new.limits[keyPath: key.path] {
            if key.isLive {
                limits[keyPath: key.path] = new.limits[keyPath: key.path]
                changes.live.append("limits." + key.name)
            } else {
                changes.needRestart.append("limits." + key.name)
            }
        }
        return changes
    }
}
