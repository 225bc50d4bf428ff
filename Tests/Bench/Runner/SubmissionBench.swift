import CBenchReference
import EmulatedIOMMU
import Glibc
import IOMMU
import IOMMUObjects
import LinuxIO

/// A loop, and work where it is asked for.
private final class LoopExecutor: WorkExecutor, LoopHolder {
    let loop: EventLoop

    init() throws { loop = try EventLoop() }

    func perform<Value: Sendable>(
        key: UInt64, _ work: @escaping @Sendable () -> Value, completion: @escaping (Value) -> Void
    ) {
        completion(work())
    }
}

/// Copies that an accelerator makes in the memory of a process, by way of a helper process as in the daemon, against
/// the system calls for that. By the clock: another process does the work.
struct SubmissionBench {
    private static let length = 1 << 20
    private static let rounds = 200

    private let executor: LoopExecutor
    private let backend: EmulatedBackend
    private let context: ObjectContext
    private let emulated: EmulatedContext

    /// - Parameter daemon: the file of the program that the helpers are.
    init(daemon: String) throws {
        executor = try LoopExecutor()
        var accelerator = DeviceDescription(name: "accelerator", smmu: "smmu0", streamIDs: [1])
        (accelerator.bus, accelerator.stall) = (.platform, true)
        (accelerator.pasidBits, accelerator.queues) = (16, 64)
        let topology = TopologyDescription(smmus: [SMMUDescription(name: "smmu0")], devices: [accelerator])
        backend = try EmulatedBackend(topology: topology, executor: executor)
        backend.sva.memory = MemoryHelpers(services: executor, instance: "bench \(getpid())", program: daemon)
        context = backend.makeContext(
            id: ContextID(1), owner: "bench", account: Account(uid: getuid()), limits: ContextLimits())
        guard let emulated = context.deviceDMA as? EmulatedContext else {
            throw BenchError.wrong("a context without DMA")
        }
        self.emulated = emulated
    }

    func run() throws {
        let bytes = Self.length
        let buffer = UnsafeMutableRawPointer.allocate(byteCount: 2 * bytes, alignment: 4096)
        let bounce = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 4096)
        defer {
            buffer.deallocate()
            bounce.deallocate()
        }
        buffer.initializeMemory(as: UInt8.self, repeating: 0x5a, count: bytes)
        (buffer + bytes).initializeMemory(as: UInt8.self, repeating: 0, count: bytes)
        bounce.initializeMemory(as: UInt8.self, repeating: 0, count: bytes)
        let queue = try open()
        let (from, length) = (UInt64(UInt(bitPattern: buffer)), UInt64(bytes))
        let copy = QueueOperation.copy(source: from, destination: from + length, length: length)
        var (ours, theirs) = (Double.infinity, Double.infinity)
        for _ in 0..<Self.rounds {
            let begin = now()
            _ = reference_copy(buffer, buffer + bytes, bounce, bytes)
            theirs = min(theirs, now() - begin)
            let start = now()
            _ = try wait { done in try emulated.submit(queue, copy, completion: done) }
            ours = min(ours, now() - start)
        }
        guard memcmp(buffer, buffer + bytes, bytes) == 0 else { throw BenchError.wrong("not copied") }
        context.close()
        report("queue-submit-1MiB-helper", ratio: theirs / ours)
    }

    /// A queue on this process's own memory.
    private func open() throws -> ObjectID {
        let device = try context.bind(deviceNamed: "accelerator").device
        let mm = try wait { done in
            try emulated.openMM(
                mem: try Descriptor(opening: "/proc/self/mem", O_RDWR),
                maps: try Descriptor(opening: "/proc/self/maps", O_RDONLY), completion: done)
        }
        let queue = try emulated.openQueue(device: device, mm: mm).queue
        _ = try emulated.startQueue(queue)
        return queue
    }

    /// Lets the loop turn until it is there.
    private func wait<Value>(
        _ start: (@escaping (Result<Value, IOMMUError>) -> Void) throws -> Progress<Value>
    ) throws -> Value {
        var result: Result<Value, IOMMUError>?
        if case .done(let value) = try start({ result = $0 }) { return value }
        while result == nil { try executor.loop.turn(waiting: true) }
        guard let result else { throw BenchError.wrong("no result") }
        return try result.get()
    }
}
