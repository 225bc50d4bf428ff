import IOMMU

/// What subscribers are told: something happened, at a time, to something.
package struct Event: Sendable {
    package var content: Content
    /// RFC 3339, UTC, microseconds.
    package var time: String
    /// Whose objects it is about; nil: nobody's.
    package var origin: Origin?
    /// Who may see it.
    package var audience: Audience

    package enum Content: Sendable {
        case backend(BackendEvent.Body)
        /// The session that it comes from is gone.
        case sessionClosed
    }

    /// The session that an event comes from, as its notification names it.
    package enum Origin: Sendable, Equatable {
        case session(String, owner: UInt32)
        /// The private session of a connection, by its number.
        case connection(UInt64)
    }

    /// Who may see an event. Administrators who asked for all sessions' events see each of them.
    package enum Audience: Sendable {
        /// The clients of a session.
        case context(ContextID)
        /// Only these clients.
        case clients([ObjectIdentifier])
        /// Whoever may bind the device.
        case device(String)
        case administrators
    }

    package init(_ content: Content, time: String, origin: Origin?, audience: Audience) {
        self.content = content
        self.time = time
        self.origin = origin
        self.audience = audience
    }

    package init(_ event: BackendEvent, time: String, origin: Origin?) {
        content = .backend(event.body)
        self.time = time
        self.origin = origin
        if let context = event.context {
            audience = .context(context)
        } else if let device = event.device {
            audience = .device(device)
        } else {
            audience = .administrators
        }
    }

    /// What happened.
    package var kind: BackendEvent.Kind {
        switch content {
        case .backend(let body): body.kind
        case .sessionClosed: .session
        }
    }
}

extension Session {
    /// As events name it.
    package var origin: Event.Origin? {
        if let name { return .session(name, owner: owner.uid) }
        return connection.map { .connection($0) }
    }
}
