import IOMMU
import SMMUv3

/// The context descriptor table of one device, linear or two-level, and a spare one.
///
/// A CD in use whose words cannot change one by one is changed in the spare table, which then takes the place of the
/// current one through a single word of the STE: no transaction sees a mix or an invalid CD.
final class ContextTables {
    /// CDs per leaf of a two-level table (STE.S1Fmt = 2).
    static let leafEntries = 1024
    static let leafBytes: UInt64 = 65_536

    /// log2 of the CDs: STE.S1CDMax.
    let bits: Int
    let isTwoLevel: Bool
    private let memory: TableMemory
    /// What STE.S1ContextPtr holds: the level 1 table, or the only leaf.
    private(set) var root: UInt64
    private var spareRoot: UInt64?
    private var spareLeaf: UInt64?
    /// By leaf number; 0: none yet.
    private var leaves: [UInt64]
    /// CDs of each leaf that were ever written, so that copies stay short.
    private var highWater: [Int]

    /// - Throws: `ENOMEM`.
    init(bits: Int, features: SMMUFeatures, memory: TableMemory) throws(IOMMUError) {
        self.bits = bits
        self.memory = memory
        isTwoLevel = features.hasTwoLevelContextTable && bits > 10
        let leafCount = isTwoLevel ? 1 << (bits - 10) : 1
        highWater = Array(repeating: 0, count: leafCount)
        leaves = Array(repeating: 0, count: leafCount)
        if isTwoLevel {
            root = try memory.allocate(bytes: Self.rootBytes(leafCount))
        } else {
            root = try memory.allocate(bytes: Self.linearBytes(bits))
            leaves[0] = root
        }
    }

    private static func rootBytes(_ leaves: Int) -> UInt64 { max(4096, UInt64(leaves) * 8) }
    private static func linearBytes(_ bits: Int) -> UInt64 { max(4096, 64 << UInt64(bits)) }
    /// Bytes of a leaf; of a linear table all of it.
    private var bytesPerLeaf: UInt64 { isTwoLevel ? Self.leafBytes : Self.linearBytes(bits) }

    func destroy() {
        for leaf in leaves where leaf != 0 { memory.release(leaf, bytes: bytesPerLeaf) }
        if isTwoLevel { memory.release(root, bytes: Self.rootBytes(leaves.count)) }
        dropSpare()
    }

    // MARK: Addresses

    private func place(_ substream: UInt32) -> (leaf: Int, entry: Int) {
        isTwoLevel
            ? (Int(substream) / Self.leafEntries, Int(substream) % Self.leafEntries) : (0, Int(substream))
    }

    func hasLeaf(for substream: UInt32) -> Bool { address(of: substream) != nil }

    /// Physical address of a CD; nil while its leaf does not exist, and beyond the table.
    func address(of substream: UInt32) -> UInt64? {
        guard UInt64(substream) < 1 << UInt64(bits) else { return nil }
        let (leaf, entry) = place(substream)
        guard leaves[leaf] != 0 else { return nil }
        return leaves[leaf] + UInt64(entry * ContextDescriptor.byteCount)
    }

    func descriptor(_ substream: UInt32) -> ContextDescriptor {
        guard let address = address(of: substream) else { return ContextDescriptor() }
        return read(address)
    }

    private func read(_ address: UInt64) -> ContextDescriptor {
        var descriptor = ContextDescriptor()
        for index in 0..<8 { descriptor[index] = memory.load(address + UInt64(index * 8)) }
        return descriptor
    }

    // MARK: Leaves

    /// - Throws: `ENOMEM`.
    func allocateLeaf() throws(IOMMUError) -> UInt64 { try memory.allocate(bytes: Self.leafBytes) }

    func releaseLeaf(_ leaf: UInt64) { memory.release(leaf, bytes: Self.leafBytes) }

    /// Puts a new leaf into the level 1 table; the SMMU may have cached that there was none.
    func install(leaf: UInt64, for substream: UInt32, through medium: any EntryMedium, streamIDs: [UInt32]) {
        let number = place(substream).leaf
        leaves[number] = leaf
        medium.store(leaf | 1, at: root + UInt64(number * 8))
        medium.synchronize(.cdTable(streamIDs: streamIDs, substreamID: substream))
    }

    // MARK: Changing CDs

    /// Whether the CD can go to `target` in its place without a transaction seeing anything in between.
    func isHitless(_ substream: UInt32, to target: ContextDescriptor) -> Bool {
        let current = descriptor(substream)
        return !current.V || EntryWriter<ContextDescriptor>.isHitless(from: current, to: target)
    }

    func write(_ target: ContextDescriptor, at substream: UInt32, medium: any EntryMedium, streamIDs: [UInt32]) {
        guard let address = address(of: substream) else { return }
        note(substream)
        var current = read(address)
        EntryWriter<ContextDescriptor>(
            medium: medium, address: address, scope: .cd(streamIDs: streamIDs, substreamID: substream)
        ).write(target, over: &current)
    }

    private func note(_ substream: UInt32) {
        let (leaf, entry) = place(substream)
        highWater[leaf] = max(highWater[leaf], entry + 1)
    }

    // MARK: Spare table

    /// Makes ``flip(_:at:)`` possible.
    ///
    /// - Returns: whether something was allocated.
    /// - Throws: `ENOMEM`.
    func prepareSpare() throws(IOMMUError) -> Bool {
        guard spareLeaf == nil else { return false }
        let leaf = try memory.allocate(bytes: bytesPerLeaf)
        if isTwoLevel {
            do {
                spareRoot = try memory.allocate(bytes: Self.rootBytes(leaves.count))
            } catch {
                memory.release(leaf, bytes: bytesPerLeaf)
                throw error
            }
        }
        spareLeaf = leaf
        return true
    }

    func dropSpare() {
        if let spareLeaf { memory.release(spareLeaf, bytes: bytesPerLeaf) }
        if let spareRoot { memory.release(spareRoot, bytes: Self.rootBytes(leaves.count)) }
        (spareLeaf, spareRoot) = (nil, nil)
    }

    /// Makes the spare table the current one, equal but for one CD; the STE has to follow. Until then the SMMU does
    /// not know the spare, so that plain stores do.
    func flip(_ target: ContextDescriptor, at substream: UInt32) {
        guard let leaf = spareLeaf else { return }
        note(substream)
        let (number, entry) = place(substream)
        let (from, to) = (memory.pointer(leaves[number]), memory.pointer(leaf))
        to.update(from: from, count: highWater[number] * 8)
        for index in 0..<8 { to[entry * 8 + index] = target[index] }
        spareLeaf = leaves[number]
        leaves[number] = leaf
        guard isTwoLevel, let other = spareRoot else {
            root = leaf
            return
        }
        let words = memory.pointer(other)
        for (index, leaf) in leaves.enumerated() { words[index] = leaf == 0 ? 0 : leaf | 1 }
        (spareRoot, root) = (root, other)
    }
}
