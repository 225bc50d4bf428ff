import IOMMU

/// Which users may bind which devices: the `[[allow]]` rules of the configuration.
package struct AccessPolicy: Sendable, Equatable {
    /// One `[[allow]]` table: it lets the users it names bind the devices it names.
    package struct Rule: Sendable, Equatable {
        /// Users by uid; with `gids` empty too, everybody.
        package var uids: Set<UInt32>
        /// Groups by gid; primary and supplementary ones count.
        package var gids: Set<UInt32>
        /// Device names, with `*` for any run of characters; empty: every device.
        package var devices: [String]

        /// A rule for users and groups, and for the devices that it names.
        package init(uids: Set<UInt32> = [], gids: Set<UInt32> = [], devices: [String] = []) {
            self.uids = uids
            self.gids = gids
            self.devices = devices
        }
    }

    /// Without any rule, `allowsByDefault` decides: true on the emulated backend, false on the kernel's.
    package var rules: [Rule]
    /// What holds where no rule is given.
    package var allowsByDefault: Bool

    /// A policy of these rules.
    package init(rules: [Rule] = [], allowsByDefault: Bool) {
        self.rules = rules
        self.allowsByDefault = allowsByDefault
    }

    /// What holds for a backend: without a rule, nobody but administrators gets devices that are real.
    func narrowed(to backend: any IOMMUBackend) -> AccessPolicy {
        AccessPolicy(rules: rules, allowsByDefault: allowsByDefault && backend.isOpenByDefault)
    }

    /// Whether the client may bind the device. Administrators always may.
    package func allows(_ peer: Peer, device: String) -> Bool {
        if peer.identity.isAdmin { return true }
        if rules.isEmpty { return allowsByDefault }
        return rules.contains { $0.covers(peer) && $0.covers(device: device) }
    }

    /// `EPERM` `not_allowed` unless the client may bind the device.
    package func requireBind(_ peer: Peer, device: String) throws(IOMMUError) {
        if let refusal = refusal(peer, device: device) { throw refusal }
    }

    /// Why the client may not bind the device; nil if it may.
    package func refusal(_ peer: Peer, device: String) -> IOMMUError? {
        guard !allows(peer, device: device) else { return nil }
        return IOMMUError(
            .EPERM, .notAllowed, "user \(peer.identity.uid) is not allowed to use device \(device)",
            hint: "ask the administrator for an [[allow]] rule with this uid or gid and this device",
            ["device": .text(device), "uid": .number(UInt64(peer.identity.uid))]
        )
    }
}

extension AccessPolicy.Rule {
    fileprivate func covers(_ peer: Peer) -> Bool {
        if uids.isEmpty && gids.isEmpty { return true }
        return uids.contains(peer.identity.uid) || gids.contains(peer.identity.gid)
            || peer.groups.contains(where: gids.contains)
    }

    fileprivate func covers(device: String) -> Bool {
        devices.isEmpty || devices.contains { NamePattern.matches($0, device) }
    }
}

/// `*` wildcards in device names.
package enum NamePattern {
    /// Linear in the product of the lengths at worst; both are bounded by the configuration.
    package static func matches(_ pattern: String, _ name: String) -> Bool {
        let pattern = Array(pattern.utf8)
        let name = Array(name.utf8)
        let star = UInt8(ascii: "*")
        var (at, from) = (0, 0)
        var retry: (pattern: Int, name: Int)?
        while from < name.count {
            if at < pattern.count, pattern[at] == star {
                retry = (at + 1, from)
                at += 1
            } else if at < pattern.count, pattern[at] == name[from] {
                at += 1
                from += 1
            } else if let again = retry {
                retry = (again.pattern, again.name + 1)
                at = again.pattern
                from = again.name + 1
            } else {
                return false
            }
        }
        return pattern[at...].allSatisfy { $0 == star }
    }
}
