import IOMMU

/// What the journal says, one thing a record. The numbers of kinds never change.
package enum Record: Sendable, Equatable {
    /// The daemon has started once more.
    case started
    /// A named session was made.
    case sessionMade(SessionFacts)
    /// It was closed, with all in it.
    case sessionClosed(UInt64)
    /// Something in a session has changed.
    case change(session: UInt64, Change, given: [Ledger.Entry])
    /// `device.add`, with the number of its group where it made that.
    case deviceAdded(DeviceDescription, given: [Ledger.Entry])
    /// `device.remove`
    case deviceRemoved(String)
    /// A table has moved to another ASID.
    case moved(smmu: String, from: UInt16, to: UInt16)
    /// A kernel is about to make this change, which may be done or not until one of the next two says so.
    case begun(session: UInt64, Change)
    /// Nothing has come of it.
    case withdrawn(session: UInt64)
}

/// A named session without what is in it.
package struct SessionFacts: Sendable, Equatable {
    /// Its number, never used again.
    package var serial: UInt64
    /// Unique for its user.
    package var name: String
    /// Who made it.
    package var owner: ClientIdentity

    /// With these properties.
    package init(serial: UInt64, name: String, owner: ClientIdentity) {
        (self.serial, self.name, self.owner) = (serial, name, owner)
    }
}

extension Record {
    /// The kinds of records.
    enum Kind: UInt8 {
        case started = 1
        case sessionMade, sessionClosed, change, deviceAdded, deviceRemoved, moved, begun, withdrawn
    }

    func write(to buffer: RecordBuffer) {
        let start = buffer.begin()
        switch self {
        case .started: buffer.put(byte: Kind.started.rawValue)
        case .sessionMade(let facts):
            buffer.put(byte: Kind.sessionMade.rawValue)
            buffer.put(facts)
        case .sessionClosed(let serial):
            buffer.put(byte: Kind.sessionClosed.rawValue)
            buffer.put(serial)
        case .change(let session, let change, let given):
            buffer.put(byte: Kind.change.rawValue)
            buffer.put(session)
            buffer.put(given)
            buffer.put(change)
        case .deviceAdded(let description, let given):
            buffer.put(byte: Kind.deviceAdded.rawValue)
            buffer.put(given)
            buffer.put(description)
        case .deviceRemoved(let name):
            buffer.put(byte: Kind.deviceRemoved.rawValue)
            buffer.put(name)
        case .moved(let smmu, let from, let to):
            buffer.put(byte: Kind.moved.rawValue)
            buffer.put(smmu)
            buffer.put(UInt32(from))
            buffer.put(UInt32(to))
        case .begun(let session, let change):
            buffer.put(byte: Kind.begun.rawValue)
            buffer.put(session)
            buffer.put(change)
        case .withdrawn(let session):
            buffer.put(byte: Kind.withdrawn.rawValue)
            buffer.put(session)
        }
        buffer.end(start)
    }

    /// What a record says.
    init(_ bytes: UnsafeRawBufferPointer) throws(RecordReader.Nonsense) {
        var reader = RecordReader(bytes)
        guard let kind = Kind(rawValue: try reader.byte()) else { throw RecordReader.Nonsense() }
        switch kind {
        case .started: self = .started
        case .sessionMade: self = .sessionMade(try reader.sessionFacts())
        case .sessionClosed: self = .sessionClosed(try reader.number())
        case .change:
            let session = try reader.number()
            let given = try reader.given()
            self = .change(session: session, try reader.change(), given: given)
        case .deviceAdded:
            let given = try reader.given()
            self = .deviceAdded(try reader.deviceDescription(), given: given)
        case .deviceRemoved: self = .deviceRemoved(try reader.text())
        case .moved:
            let smmu = try reader.text()
            guard let from = UInt16(exactly: try reader.number()), let to = UInt16(exactly: try reader.number()) else {
                throw RecordReader.Nonsense()
            }
            self = .moved(smmu: smmu, from: from, to: to)
        case .begun: self = .begun(session: try reader.number(), try reader.change())
        case .withdrawn: self = .withdrawn(session: try reader.number())
        }
        try reader.end()
    }
}

extension RecordBuffer {
    fileprivate func put(_ facts: SessionFacts) {
        put(facts.serial)
        put(facts.name)
        put(facts.owner.uid)
        put(facts.owner.gid)
        put(UInt32(bitPattern: facts.owner.pid))
        put(facts.owner.isAdmin)
    }

    func put(_ given: [Ledger.Entry]) {
        put(UInt64(given.count))
        for entry in given {
            put(byte: entry.kind.rawValue)
            put(entry.value)
        }
    }
}

extension RecordReader {
    fileprivate mutating func sessionFacts() throws(Nonsense) -> SessionFacts {
        let (serial, name) = (try number(), try text())
        let (uid, gid, pid) = (try word(), try word(), try word())
        let identity = ClientIdentity(uid: uid, gid: gid, pid: Int32(bitPattern: pid), isAdmin: try flag())
        return SessionFacts(serial: serial, name: name, owner: identity)
    }

    fileprivate mutating func given() throws(Nonsense) -> [Ledger.Entry] {
        var entries: [Ledger.Entry] = []
        for _ in 0..<(try count(ofBytes: 2)) {
            guard let kind = Ledger.Kind(rawValue: try byte()) else { throw Nonsense() }
            entries.append(Ledger.Entry(kind, try number()))
        }
        return entries
    }
}
