import IOMMU
import SMMUv3

/// The stream table, linear or two-level with 256 STEs per leaf; every STE that exists aborts until a device attaches.
final class StreamTable {
    /// log2 of the STEs per leaf.
    static let split = 8
    private let memory: TableMemory
    private let isTwoLevel: Bool
    private let log2Size: Int
    private let base: UInt64
    private let bytes: UInt64
    /// By level 1 index; 0: none.
    private var leaves: [UInt64]
    /// How many devices' streams each leaf has.
    private var streamCounts: [Int]
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
        streamCounts = Array(repeating: 0, count: leaves.count)
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

    /// Makes sure that the streams have STEs: all of them or none.
    ///
    /// - Throws: `EINVAL` for a StreamID the table cannot hold, `ENOMEM`.
    func prepare(_ streamIDs: [UInt32]) throws(IOMMUError) {
        var made: [(index: Int, leaf: UInt64)] = []
        do throws(IOMMUError) {
            for streamID in streamIDs {
                guard UInt64(streamID) < 1 << UInt64(log2Size) else {
                    throw IOMMUError(
                        .EINVAL, .badStreamID, "StreamID \(streamID) has more than the SMMU's \(log2Size) bits",
                        hint: "give a smaller one, or raise sidsize of the SMMU",
                        ["stream_id": .number(UInt64(streamID))]
                    )
                }
                let index = Int(streamID >> UInt32(Self.split))
                guard isTwoLevel, leaves[index] == 0, !made.contains(where: { $0.index == index }) else { continue }
                made.append((index, try memory.allocate(bytes: Self.leafBytes)))
            }
        } catch {
            for (_, leaf) in made { memory.release(leaf, bytes: Self.leafBytes) }
            throw error
        }
        for (index, leaf) in made {
            fill(leaf, count: 1 << Self.split)
            leaves[index] = leaf
            // Span = split + 1: 2^split STEs.
            memory.store(leaf | UInt64(Self.split + 1), at: base + UInt64(index * 8))
        }
        if isTwoLevel { for streamID in streamIDs { streamCounts[Int(streamID >> UInt32(Self.split))] += 1 } }
    }

    /// Takes back what ``prepare(_:)`` made for streams whose STEs abort again: leaves that no device needs any more.
    ///
    /// - Parameter forget: makes the SMMU forget a stream's STE and the way there.
    func release(_ streamIDs: [UInt32], forget: (UInt32) -> Void) {
        guard isTwoLevel else { return }
        for streamID in streamIDs {
            let index = Int(streamID >> UInt32(Self.split))
            streamCounts[index] -= 1
            guard streamCounts[index] == 0 else { continue }
            memory.store(0, at: base + UInt64(index * 8))
            forget(streamID)
            memory.release(leaves[index], bytes: Self.leafBytes)
            leaves[index] = 0
        }
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
