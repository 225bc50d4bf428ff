import IOMMU
import KernelIOMMU
import KernelTestSupport
import LinuxIO
import Testing

/// A kernel backend over a fake kernel.
final class KernelBench {
    let kernel: FakeKernel
    let inventory: FakeInventory
    let work: LoopWork
    let backend: KernelBackend
    private(set) var events: [BackendEvent] = []
    private var contexts: UInt64 = 0

    init(release: KernelVersion = KernelVersion(7, 2), _ change: (inout [FakeDevice]) -> Void = { _ in }) throws {
        var devices = (0..<4).map { FakeDevice("/dev/vfio/devices/vfio\($0)", group: UInt32($0 < 3 ? $0 : 2)) }
        devices[0].pasidBits = 4
        devices[1].reserved = [try #require(AddressRange(start: 0x800_0000, last: 0x80f_ffff))]
        change(&devices)
        kernel = FakeKernel(release: release, devices: devices)
        inventory = FakeInventory(devices)
        work = try LoopWork()
        backend = try KernelBackend(calls: kernel, inventory: inventory, executor: work)
        backend.eventHandler = { [unowned self] in events.append($0) }
    }

    func context(uid: UInt32 = 1000, limits: ContextLimits = ContextLimits()) -> KernelContext {
        contexts += 1
        return backend.makeContext(
            id: ContextID(contexts), owner: "session \(contexts)", account: Account(uid: uid), limits: limits)
    }

    func path(_ name: String) -> String { "/dev/vfio/devices/\(name)" }
}

/// What a call is refused with.
func refusal<Value>(of body: () throws(IOMMUError) -> Value) -> IOMMUError? {
    do {
        _ = try body()
        return nil
    } catch { return error }
}

func expectRefusal<Value>(
    _ errno: Errno, _ reason: Reason, sourceLocation: SourceLocation = #_sourceLocation,
    _ body: () throws(IOMMUError) -> Value
) {
    let error = refusal(of: body)
    #expect(
        error?.errno == errno && error?.reason == reason, "\(String(describing: error))", sourceLocation: sourceLocation
    )
}

extension MapRequest {
    init(
        _ memory: ObjectID, from offset: UInt64 = 0, _ length: UInt64, at iova: UInt64? = nil,
        _ access: Access = [.read, .write]
    ) {
        self.init(memory: memory, offset: offset, length: length, iova: iova, access: access)
    }
}
