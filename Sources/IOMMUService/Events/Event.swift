import IOMMU

/// What subscribers are told: something happened, at a time, to something.
package struct Event: Sendable {
    package var kind: BackendEvent.Kind
    /// RFC 3339, UTC, microseconds.
    package var time: String
    package var members: [IOMMUError.Member]
    /// Who may see it.
    package var audience: Audience

    /// Who may see an event. Administrators see all of them.
    package enum Audience: Sendable {
        /// Only the clients of the session with this context.
        case context(ObjectIdentifier)
        /// Only these clients.
        case clients([ObjectIdentifier])
        /// Whoever may bind the device.
        case device(String)
        case administrators
    }

    package init(_ kind: BackendEvent.Kind, time: String, audience: Audience, _ members: [IOMMUError.Member]) {
        self.kind = kind
        self.time = time
        self.members = members
        self.audience = audience
    }

    package init(_ event: BackendEvent, time: String) {
        kind = event.kind
        self.time = time
        members = event.members
        if let device = event.device, !members.contains(where: { $0.key == "device" || $0.key == "name" }) {
            members.insert(IOMMUError.Member("name", .text(device)), at: 0)
        }
        if let context = event.context {
            audience = .context(context)
        } else if let device = event.device {
            audience = .device(device)
        } else {
            audience = .administrators
        }
    }
}
