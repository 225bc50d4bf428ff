import IOMMU

/// What a helper is asked to do; one message. The descriptors that it needs come with it, and are closed again before
/// the answer.
struct HelperRequest: Equatable {
    enum Work: Equatable {
        /// Without a descriptor.
        case openPID(Int32, uid: UInt32, gid: UInt32)
        /// With a pidfd.
        case openPidfd(uid: UInt32, gid: UInt32)
        /// With `mem` and `maps`.
        case openFiles
        /// Without a descriptor. At most ``HelperRequest/mostCompared``.
        case compare(Int32, others: [Int32])
        /// With `mem` and `maps`, as `move`.
        case touch(UInt64, write: Bool)
        /// What is read or written is in the buffer.
        case move(ProcessMover.Piece, previous: UInt32?)
        /// With `mem` and `maps`; answered as a piece that was moved.
        case check(UInt64, length: UInt64, Access)
        /// With so many `mem`, at most ``ForeignProbe/most``.
        case probe(count: Int)
    }

    /// Tells this request's reply from others.
    var number: UInt64
    /// Whose address space it is: the helper shows it in its name.
    var uid: UInt32
    /// What is known of `mem` and `maps`.
    var isWritable = false
    var hasQuery = false
    var work: Work

    /// Bytes of a message.
    static let largest = 1024
    static let mostCompared = 64

    /// How many descriptors come with it.
    var descriptors: Int {
        switch work {
        case .openPID, .compare: 0
        case .openPidfd: 1
        case .openFiles, .touch, .move, .check: 2
        case .probe(let count): count
        }
    }
}

// MARK: - Wire

extension HelperRequest {
    var bytes: [UInt8] {
        var writer = WireWriter()
        writer.put(number)
        writer.put(uid)
        writer.put(isWritable)
        writer.put(hasQuery)
        switch work {
        case .openPID(let pid, let uid, let gid):
            writer.put(UInt8(0))
            writer.put(pid)
            writer.put(uid)
            writer.put(gid)
        case .openPidfd(let uid, let gid):
            writer.put(UInt8(1))
            writer.put(uid)
            writer.put(gid)
        case .openFiles: writer.put(UInt8(2))
        case .compare(let pid, let others):
            writer.put(UInt8(3))
            writer.put(pid)
            writer.put(UInt16(others.count))
            for other in others { writer.put(other) }
        case .touch(let address, let write):
            writer.put(UInt8(4))
            writer.put(address)
            writer.put(write)
        case .move(let piece, let previous):
            writer.put(UInt8(5))
            writer.put(previous)
            piece.put(into: &writer)
        case .probe(let count):
            writer.put(UInt8(6))
            writer.put(UInt8(clamping: count))
        case .check(let address, let length, let access):
            writer.put(UInt8(7))
            writer.put(address)
            writer.put(length)
            writer.put(access.rawValue)
        }
        return writer.bytes
    }

    /// nil for what is no request.
    init?(_ bytes: ArraySlice<UInt8>) {
        var reader = WireReader(bytes)
        guard let number = reader.number(UInt64.self), let uid = reader.number(UInt32.self),
            let isWritable = reader.flag(), let hasQuery = reader.flag(), let kind = reader.number(UInt8.self),
            let work = Work(kind, &reader), reader.isAtEnd
        else { return nil }
        self.init(number: number, uid: uid, isWritable: isWritable, hasQuery: hasQuery, work: work)
    }
}

extension HelperRequest.Work {
    fileprivate init?(_ kind: UInt8, _ reader: inout WireReader) {
        switch kind {
        case 0:
            guard let pid = reader.number(Int32.self), let uid = reader.number(UInt32.self),
                let gid = reader.number(UInt32.self)
            else { return nil }
            self = .openPID(pid, uid: uid, gid: gid)
        case 1:
            guard let uid = reader.number(UInt32.self), let gid = reader.number(UInt32.self) else { return nil }
            self = .openPidfd(uid: uid, gid: gid)
        case 2: self = .openFiles
        case 3:
            guard let pid = reader.number(Int32.self), let count = reader.number(UInt16.self),
                count <= HelperRequest.mostCompared
            else { return nil }
            let others = (0..<count).compactMap { _ in reader.number(Int32.self) }
            guard others.count == count else { return nil }
            self = .compare(pid, others: others)
        case 4:
            guard let address = reader.number(UInt64.self), let write = reader.flag() else { return nil }
            self = .touch(address, write: write)
        case 5:
            guard let previous = reader.optional(UInt32.self), let piece = ProcessMover.Piece(&reader) else {
                return nil
            }
            self = .move(piece, previous: previous)
        case 6:
            guard let count = reader.number(UInt8.self), count <= ForeignProbe.most else { return nil }
            self = .probe(count: Int(count))
        case 7:
            guard let address = reader.number(UInt64.self), let length = reader.number(UInt64.self),
                let access = reader.number(UInt8.self)
            else { return nil }
            self = .check(address, length: length, Access(rawValue: access))
        default: return nil
        }
    }
}

extension ProcessMover.Piece {
    fileprivate func put(into writer: inout WireWriter) {
        let (kind, first, second, length, value): (UInt8, UInt64, UInt64, UInt64, UInt8) =
            switch self {
            case .read(let address, let length): (0, address, 0, length, 0)
            case .write(let address, let length): (1, address, 0, length, 0)
            case .fill(let address, let length, let value): (2, address, 0, length, value)
            case .copy(let source, let target, let length): (3, source, target, length, 0)
            case .checksum(let address, let length): (4, address, 0, length, 0)
            }
        writer.put(kind)
        writer.put(first)
        writer.put(second)
        writer.put(length)
        writer.put(value)
    }

    /// nil for what is none, and for more than fits into the buffer.
    fileprivate init?(_ reader: inout WireReader) {
        guard let kind = reader.number(UInt8.self), let first = reader.number(UInt64.self),
            let second = reader.number(UInt64.self), let length = reader.number(UInt64.self),
            let value = reader.number(UInt8.self), length <= DeviceAccess.pieceLength
        else { return nil }
        switch kind {
        case 0: self = .read(first, length: length)
        case 1: self = .write(first, length: length)
        case 2: self = .fill(first, length: length, value: value)
        case 3: self = .copy(from: first, to: second, length: length)
        case 4: self = .checksum(first, length: length)
        default: return nil
        }
    }
}
