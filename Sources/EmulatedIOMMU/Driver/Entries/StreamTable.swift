import IOMMU
import SMMUv3

/// The stream table, linear or two-level with 256 STEs per leaf; every STE that exists aborts until a device attaches.
final class StreamTable {
    private static let split = 8
    private let memory: TableMemory
    private let isTwoLevel: Bool
    private let log2Size: Int
    private let base: UInt64
    private let bytes: UInt64
    /// By level 1 index; 0: none.
    private var leaves: [UInt64]
    private static let leafBytes = UInt64(StreamTableEntry.byteCount) << UInt64(split)

    /// - Throws: `ENOMEM`.
    init(features: SMMUFeatures, memory: TableMemory) throws(IOMMUError) {
        self.memory = memory
        isTwoLevel = features.hasTwoLevelStreamTable && features.streamIDBits > Self.split
        // What is not covered is C_BAD_STREAMID: 2^25 streams in two levels, 2^16 in one.
        log2Size = min(features.streamIDBits, isTwoLevel ? 25 : 16)
        bytes = max(4096, isTwoLevel ? UInt64(8) << UInt64(log2Size - Self.split) : UInt64(64) << UInt64(log2Size))
        base = try memory.allocate(bytes: bytes)
        leaves = isTwoLevel ? Array(repeating: 0, count: 1 << (log2Size - Self.split)) : []
        if !isTwoLevel { fill(base, count: 1 << log2Size) }
    }

    func destroy() {
        for leaf in leaves where leaf != 0 { memory.release(leaf, bytes: Self.leafBytes) }
        memory.release(base, bytes: bytes)
    }

    private func fill(_ table: UInt64, count: Int) {
        let words = memory.pointer(table)
        for index in 0..<count { words[index * 8] = 1 }
    }

    /// STRTAB_BASE and STRTAB_BASE_CFG
    var registers: (base: UInt64, configuration: UInt32) {
        let configuration =
            isTwoLevel
            ? STRTAB_BASE_CFG.twoLevel(log2Size: UInt32(log2Size), split: UInt32(Self.split))
            : STRTAB_BASE_CFG.linear(log2Size: UInt32(log2Size))
        return (base | BaseRegister.allocate, configuration)
    }

    /// Makes sure that the stream has an STE.
    ///
    /// - Throws: `EINVAL` for a StreamID the table cannot hold, `ENOMEM`.
    func prepare(_ streamID: UInt32) throws(IOMMUError) {
        guard UInt64(streamID) < 1 << UInt64(log2Size) else {
            throw IOMMUError(
                .EINVAL, "bad_stream_id", "the SMMU has StreamIDs of \(log2Size) bits",
                ["stream_id": .number(UInt64(streamID))]
            )
        }
        guard isTwoLevel else { return }
        let index = Int(streamID >> UInt32(Self.split))
        guard leaves[index] == 0 else { return }
        let leaf = try memory.allocate(bytes: Self.leafBytes)
        fill(leaf, count: 1 << Self.split)
        leaves[index] = leaf
        // Span = split + 1: 2^split STEs.
        memory.store(leaf | UInt64(Self.split + 1), at: base + UInt64(index * 8))
    }

    /// Physical address of the STE; nil if the stream has none.
    func address(of streamID: UInt32) -> UInt64? {
        guard UInt64(streamID) < 1 << UInt64(log2Size) else { return nil }
        guard isTwoLevel else { return base + UInt64(streamID) * 64 }
        let leaf = leaves[Int(streamID >> UInt32(Self.split))]
        guard leaf != 0 else { return nil }
        return leaf + UInt64(streamID & ((1 << UInt32(Self.split)) - 1)) * 64
    }

    func entry(_ streamID: UInt32) -> StreamTableEntry {
        var entry = StreamTableEntry()
        guard let address = address(of: streamID) else { return entry }
        for index in 0..<8 { entry[index] = memory.load(address + UInt64(index * 8)) }
        return entry
    }
}
