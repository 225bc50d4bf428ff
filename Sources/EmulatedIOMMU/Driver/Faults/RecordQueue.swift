import IOMMU
import SMMUv3

/// A queue that the SMMU produces into, as its consumer: event queue or PRI queue.
final class RecordQueue {
    struct Region {
        let address: UInt64
        let bytes: UInt64
        let log2: Int
    }

    private let port: RegisterPort
    private let producer: Register
    private let consumer: Register
    private let region: Region
    private let wordsPerEntry: Int
    private let words: UnsafeMutablePointer<UInt64>
    /// With wrap bit.
    private var next: UInt32 = 0
    /// The overflow flag as last acknowledged.
    private var acknowledged: UInt32 = 0

    static func allocate(log2: Int, entryBytes: UInt64, memory: TableMemory) throws(IOMMUError) -> Region {
        let bytes = max(4096, entryBytes << UInt64(log2))
        return Region(address: try memory.allocate(bytes: bytes), bytes: bytes, log2: log2)
    }

    init(
        port: RegisterPort, producer: Register, consumer: Register, region: Region, wordsPerEntry: Int,
        memory: TableMemory
    ) {
        (self.port, self.producer, self.consumer, self.region) = (port, producer, consumer, region)
        self.wordsPerEntry = wordsPerEntry
        words = memory.pointer(region.address)
    }

    func start(base: Register) {
        port.write64(base, region.address | BaseRegister.allocate | UInt64(region.log2))
        port.write(producer, 0)
        port.write(consumer, 0)
    }

    var capacity: Int { 1 << region.log2 }

    /// The oldest entry, which stays where it is until ``advance()``; nil if the queue is empty.
    var first: UnsafePointer<UInt64>? {
        let mask = (UInt32(1) << UInt32(region.log2 + 1)) - 1
        guard port.read(producer) & mask != next else { return nil }
        return UnsafePointer(words + Int(next & (mask >> 1)) * wordsPerEntry)
    }

    /// Gives the place of the oldest entry back to the SMMU, once it has been copied.
    func advance() {
        next = (next + 1) & ((UInt32(1) << UInt32(region.log2 + 1)) - 1)
        port.write(consumer, next | acknowledged)
    }

    /// Lets the SMMU tell the next overflow, if there was one.
    func acknowledgeOverflow() {
        let flag = port.read(producer) & QueueIndex.overflow
        guard flag != acknowledged else { return }
        acknowledged = flag
        port.write(consumer, next | acknowledged)
    }
}
