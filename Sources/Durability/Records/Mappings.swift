import IOMMU

/// Many mappings in few bytes: of each only what does not follow from the one before it. A row of mappings of one size
/// that touch each other takes a byte each.
struct MappingRow {
    /// What a mapping has of the one before it.
    private enum Flag {
        static let memory: UInt8 = 1
        static let length: UInt8 = 2
        static let iova: UInt8 = 4
        static let offset: UInt8 = 8
        /// Two bits.
        static let access: UInt8 = 4
        static let source: UInt8 = 0x40
    }

    private var memory: ObjectID = 0
    private var length: UInt64 = 0
    private var nextIOVA: UInt64 = 0
    private var nextOffset: UInt64 = 0

    @inline(__always)
    mutating func write(
        _ buffer: RecordBuffer, memory: ObjectID, iova: UInt64, offset: UInt64, length: UInt64, access: Access,
        isSourceWritable: Bool
    ) {
        var flags = (access.rawValue & 3) << Flag.access | (isSourceWritable ? Flag.source : 0)
        if memory == self.memory { flags |= Flag.memory }
        if length == self.length { flags |= Flag.length }
        if iova == nextIOVA { flags |= Flag.iova }
        if offset == nextOffset { flags |= Flag.offset }
        buffer.put(byte: flags)
        if flags & Flag.memory == 0 { buffer.put(memory) }
        if flags & Flag.length == 0 { buffer.put(length) }
        if flags & Flag.iova == 0 { buffer.put(iova) }
        if flags & Flag.offset == 0 { buffer.put(offset) }
        (self.memory, self.length) = (memory, length)
        (nextIOVA, nextOffset) = (iova &+ length, offset &+ length)
    }

    mutating func read(_ reader: inout RecordReader) throws(RecordReader.Nonsense) -> KeptMapping {
        let flags = try reader.byte()
        guard flags & 0x80 == 0 else { throw RecordReader.Nonsense() }
        if flags & Flag.memory == 0 { memory = try reader.word() }
        if flags & Flag.length == 0 { length = try reader.number() }
        let iova = flags & Flag.iova == 0 ? try reader.number() : nextIOVA
        let offset = flags & Flag.offset == 0 ? try reader.number() : nextOffset
        (nextIOVA, nextOffset) = (iova &+ length, offset &+ length)
        return KeptMapping(
            iova: iova, length: length, offset: offset, memory: memory,
            access: Access(rawValue: flags >> Flag.access & 3), isSourceWritable: flags & Flag.source != 0)
    }
}

extension RecordBuffer {
    func put(_ mappings: [KeptMapping]) {
        put(UInt64(mappings.count))
        var row = MappingRow()
        for mapping in mappings {
            row.write(
                self, memory: mapping.memory, iova: mapping.iova, offset: mapping.offset, length: mapping.length,
                access: mapping.access, isSourceWritable: mapping.isSourceWritable)
        }
    }

    /// A record of mappings that were asked for, where they were made.
    func putMap(session: UInt64, ioas: ObjectID, _ requests: [MapRequest], at iovas: [UInt64]) {
        beginMap(session: session, ioas: ioas, count: requests.count)
        var row = MappingRow()
        for (request, iova) in zip(requests, iovas) { row.write(self, request, at: iova) }
    }

    /// As above, of a single one.
    func putMap(session: UInt64, ioas: ObjectID, _ request: MapRequest, at iova: UInt64) {
        beginMap(session: session, ioas: ioas, count: 1)
        var row = MappingRow()
        row.write(self, request, at: iova)
    }

    private func beginMap(session: UInt64, ioas: ObjectID, count: Int) {
        put(byte: Record.Kind.change.rawValue)
        put(session)
        put(UInt64(0))
        put(byte: ChangeKind.map.rawValue)
        put(ioas)
        put(UInt64(count))
    }
}

extension MappingRow {
    @inline(__always)
    fileprivate mutating func write(_ buffer: RecordBuffer, _ request: MapRequest, at iova: UInt64) {
        write(
            buffer, memory: request.memory, iova: iova, offset: request.offset, length: request.length,
            access: request.access, isSourceWritable: request.access.allowsWriting)
    }
}

extension RecordReader {
    mutating func mappings() throws(Nonsense) -> [KeptMapping] {
        let count = try count()
        var row = MappingRow()
        var mappings: [KeptMapping] = []
        mappings.reserveCapacity(count)
        for _ in 0..<count { mappings.append(try row.read(&self)) }
        return mappings
    }
}
