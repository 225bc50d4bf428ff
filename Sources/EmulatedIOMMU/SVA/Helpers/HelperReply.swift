import IOMMU
import LinuxIO

/// What a helper answers; one message.
struct HelperReply {
    enum Result {
        /// With `mem` and `maps`.
        case opened(pid: Int32?, ProcessLayout, ProcessMemory.Facts)
        case refused(IOMMUError)
        case compared([Int32])
        case touched(ProcessArea)
        /// What was read is in the buffer.
        case moved(checksum: UInt32?)
        case failed(ProcessMemory.Failure)
        case probed([Bool])
    }

    /// Of the request.
    var number: UInt64
    var result: Result

    /// Bytes of a message.
    static let largest = 32 << 10

    /// How many descriptors come with it.
    var descriptors: Int {
        if case .opened = result { return 2 }
        return 0
    }
}

// MARK: - Wire

extension HelperReply {
    var bytes: [UInt8] {
        var writer = WireWriter()
        writer.put(number)
        switch result {
        case .opened(let pid, let layout, let facts):
            writer.put(UInt8(0))
            writer.put(pid)
            writer.put(layout.vdso)
            writer.put(layout.stackEnd)
            writer.put(Int64(layout.seed))
            writer.put(facts.isWritable)
            writer.put(facts.hasQuery)
            writer.put(facts.identity?.device)
            writer.put(facts.identity?.inode)
        case .refused(let error):
            writer.put(UInt8(1))
            error.put(into: &writer)
        case .compared(let answers):
            writer.put(UInt8(2))
            writer.put(UInt16(answers.count))
            for answer in answers { writer.put(answer) }
        case .touched(let area):
            writer.put(UInt8(3))
            writer.put(area.start)
            writer.put(area.end)
            writer.put(area.isReadable)
            writer.put(area.isWritable)
        case .moved(let checksum):
            writer.put(UInt8(4))
            writer.put(checksum)
        case .failed(let failure):
            writer.put(UInt8(5))
            let (kind, address): (UInt8, UInt64) =
                switch failure {
                case .gone: (0, 0)
                case .denied(let address): (1, address)
                case .unreachable(let address): (2, address)
                }
            writer.put(kind)
            writer.put(address)
        case .probed(let answers):
            writer.put(UInt8(6))
            writer.put(UInt8(clamping: answers.count))
            for isAlive in answers { writer.put(isAlive) }
        }
        return writer.bytes
    }

    /// nil for what is no reply.
    init?(_ bytes: ArraySlice<UInt8>) {
        var reader = WireReader(bytes)
        guard let number = reader.number(UInt64.self), let kind = reader.number(UInt8.self),
            let result = Result(kind, &reader), reader.isAtEnd
        else { return nil }
        self.init(number: number, result: result)
    }
}

extension HelperReply.Result {
    fileprivate init?(_ kind: UInt8, _ reader: inout WireReader) {
        let read: HelperReply.Result? =
            switch kind {
            case 0: Self.opened(&reader)
            case 1: IOMMUError(&reader).map { .refused($0) }
            case 2: Self.compared(&reader)
            case 3: Self.touched(&reader)
            case 4: reader.optional(UInt32.self).map { .moved(checksum: $0) }
            case 5: Self.failed(&reader)
            case 6: Self.probed(&reader)
            default: nil
            }
        guard let read else { return nil }
        self = read
    }

    private static func opened(_ reader: inout WireReader) -> HelperReply.Result? {
        guard let pid = reader.optional(Int32.self), let vdso = reader.number(UInt64.self),
            let stackEnd = reader.number(UInt64.self), let seed = reader.number(Int64.self),
            let isWritable = reader.flag(), let hasQuery = reader.flag(), let device = reader.optional(UInt64.self),
            let inode = reader.optional(UInt64.self)
        else { return nil }
        var facts = ProcessMemory.Facts(identity: nil, isWritable: isWritable, hasQuery: hasQuery)
        if let device, let inode { facts.identity = ProcessFileFacts.Identity(device: device, inode: inode) }
        return .opened(pid: pid, ProcessLayout(vdso: vdso, stackEnd: stackEnd, seed: Int(seed)), facts)
    }

    private static func compared(_ reader: inout WireReader) -> HelperReply.Result? {
        guard let count = reader.number(UInt16.self), count <= HelperRequest.mostCompared else { return nil }
        let answers = (0..<count).compactMap { _ in reader.number(Int32.self) }
        return answers.count == count ? .compared(answers) : nil
    }

    private static func probed(_ reader: inout WireReader) -> HelperReply.Result? {
        guard let count = reader.number(UInt8.self), count <= ForeignProbe.most else { return nil }
        let answers = (0..<count).compactMap { _ in reader.flag() }
        return answers.count == count ? .probed(answers) : nil
    }

    private static func touched(_ reader: inout WireReader) -> HelperReply.Result? {
        guard let start = reader.number(UInt64.self), let end = reader.number(UInt64.self), start < end,
            let isReadable = reader.flag(), let isWritable = reader.flag()
        else { return nil }
        return .touched(ProcessArea(start: start, end: end, isReadable: isReadable, isWritable: isWritable))
    }

    private static func failed(_ reader: inout WireReader) -> HelperReply.Result? {
        guard let kind = reader.number(UInt8.self), let address = reader.number(UInt64.self) else { return nil }
        switch kind {
        case 0: return .failed(.gone)
        case 1: return .failed(.denied(address))
        case 2: return .failed(.unreachable(address))
        default: return nil
        }
    }
}
