import CBenchReference
import CLinux
import EmulatedIOMMU
import Glibc
import IOMMU
import LinuxIO
import IOMMUObjects

/// Runs work where it is asked for: what the daemon's workers do, without their hand-over.
private final class InlineExecutor: WorkExecutor {
    func perform<Value: Sendable>(
        key: UInt64, _ work: @escaping @Sendable () -> Value, completion: @escaping (Value) -> Void
    ) {
        completion(work())
    }

    func later(_ body: @escaping () -> Void) { body() }

    func inPieces(for user: UInt32, _ piece: @escaping (_ budget: inout TurnBudget) -> Bool) {
        var budget = TurnBudget(units: .max)
        while !piece(&budget) {}
    }

    func watch(_ descriptor: borrowing Descriptor, _ ready: @escaping () -> Void) throws(SystemError) -> DescriptorWatch
    {
        throw SystemError(errno: ENOSYS, "watch a descriptor without a loop")
    }
}

/// Shared virtual addressing through the object model, against attachments and plain system calls.
struct BackendBench {
    private let backend: EmulatedBackend
    private let context: ObjectContext
    private let emulated: EmulatedContext
    private static let deviceCount = 10
    private static let (turns, roundsPerTurn) = (101, 200)

    init() throws {
        let accelerators = (0..<Self.deviceCount).map { index in
            var accelerator = DeviceDescription(
                name: "accelerator\(index)", smmu: "smmu0", streamIDs: [UInt32(index) + 1]
            )
            accelerator.bus = .platform
            accelerator.stall = true
            accelerator.pasidBits = 16
            accelerator.queues = 64
            return accelerator
        }
        let topology = TopologyDescription(smmus: [SMMUDescription(name: "smmu0")], devices: accelerators)
        backend = try EmulatedBackend(
            topology: topology, executor: InlineExecutor(), tableSpace: TableSpace.standard)
        context = backend.makeContext(
            id: ContextID(1), owner: "bench", account: Account(uid: 0), limits: ContextLimits())
        guard let emulated = context.deviceDMA as? EmulatedContext else {
            throw BenchError.wrong("a context without DMA")
        }
        self.emulated = emulated
    }

    func run() throws {
        var devices: [ObjectID] = []
        for index in 0..<Self.deviceCount {
            devices.append(try context.bind(deviceNamed: "accelerator\(index)").device)
        }
        try bindings(devices[0])
        try manyBonds(devices)
        try submissions(devices[0])
        context.close()
    }

    private func time(_ work: () throws -> Void) rethrows -> Double {
        let begin = processorTime()
        try work()
        return processorTime() - begin
    }

    /// A bind and unbind of an address space that the daemon knows, against an attach and detach; in short turns, since
    /// a processor that others use is not the same from one tenth of a second to the next.
    private func bindings(_ device: ObjectID) throws {
        let ioas = try context.allocateIOAS()
        let hwpt = try context.allocateHWPT(HWPTRequest(device: device, pt: ioas))
        let mm = try emulated.createMM()
        var ratios: [Double] = []
        for _ in 0..<Self.turns {
            let attaching = try time {
                for _ in 0..<Self.roundsPerTurn {
                    _ = try context.attach(device: device, to: hwpt, pasid: nil)
                    try context.detach(device: device, pasid: nil)
                }
            }
            let binding = try time {
                for _ in 0..<Self.roundsPerTurn {
                    _ = try emulated.unbindSVA(bond: emulated.bindSVA(device: device, mm: mm).bond)
                }
            }
            ratios.append(binding / attaching)
        }
        try emulated.closeMM(mm)
        report("sva-bind", ratio: ratios.sorted()[ratios.count / 2])
    }

    /// Every device with every of 1,000 address spaces: a bind late in the crowd against one among the first hundred.
    private func manyBonds(_ devices: [ObjectID]) throws {
        var spaces: [ObjectID] = []
        for _ in 0..<1000 { spaces.append(try emulated.createMM()) }
        let pairs = devices.flatMap { device in spaces.map { (device: device, space: $0) } }
        var bonds: [ObjectID] = []
        func bind(_ range: Range<Int>) throws -> Double {
            try time {
                for pair in pairs[range] {
                    bonds.append(try emulated.bindSVA(device: pair.device, mm: pair.space).bond)
                }
            } / Double(range.count)
        }
        let first = try bind(0..<100)
        let others = try bind(100..<pairs.count)
        guard Set(bonds).count == pairs.count else { throw BenchError.wrong("\(Set(bonds).count) bonds") }
        for bond in bonds { _ = try emulated.unbindSVA(bond: bond) }
        for space in spaces { try emulated.closeMM(space) }
        report("sva-10000-bonds", ratio: others / first)
    }

    /// Copies of 1 MiB in this process's own memory.
    private func submissions(_ device: ObjectID) throws {
        let bytes = 1 << 20
        let buffer = UnsafeMutableRawPointer.allocate(byteCount: 2 * bytes, alignment: 4096)
        let bounce = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 4096)
        defer {
            buffer.deallocate()
            bounce.deallocate()
        }
        buffer.initializeMemory(as: UInt8.self, repeating: 0x5a, count: 2 * bytes)
        bounce.initializeMemory(as: UInt8.self, repeating: 0, count: bytes)
        let source = UInt64(UInt(bitPattern: buffer))
        let mm = try emulated.openMM(
            mem: try Descriptor(opening: "/proc/self/mem", O_RDWR),
            maps: try Descriptor(opening: "/proc/self/maps", O_RDONLY))
        let queue = try emulated.openQueue(device: device, mm: mm).queue
        _ = try emulated.startQueue(queue)
        var (ours, theirs) = (Double.infinity, Double.infinity)
        for _ in 0..<50 {
            theirs = min(theirs, time { _ = reference_copy(buffer, buffer + bytes, bounce, bytes) })
            var failure: IOMMUError?
            let length = UInt64(bytes)
            let operation = QueueOperation.copy(source: source, destination: source + length, length: length)
            ours = min(
                ours,
                try time {
                    _ = try emulated.submit(queue, operation) { if case .failure(let error) = $0 { failure = error } }
                })
            if let failure { throw failure }
        }
        _ = try emulated.closeQueue(queue)
        try emulated.closeMM(mm)
        report("queue-submit-1MiB", ratio: theirs / ours)
    }
}
