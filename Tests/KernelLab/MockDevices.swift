import CLinux
import IOMMU
import KernelIOMMU
import LinuxIO

/// The running kernel, where virtual IOMMUs are those of the mock driver: it has none of an SMMUv3.
struct MockKernel: KernelCalls {
    private static let mockVIOMMU: UInt32 = 0xdead_beef

    private let kernel = LinuxKernel()

    func open(_ path: String) throws(SystemError) -> Descriptor { try kernel.open(path) }

    func control(_ descriptor: Int32, _ number: UInt, _ argument: UnsafeMutableRawPointer) -> Int32 {
        if number == IOMMUFD.viommuAlloc.number {
            let call = argument.assumingMemoryBound(to: clinux_iommu_viommu_alloc.self)
            if call.pointee.type == 1 { call.pointee.type = Self.mockVIOMMU }
        }
        return kernel.control(descriptor, number, argument)
    }
}

/// The devices of the kernel's mock driver, which exist only in the iommufd that makes them: binding makes one,
/// attached to an IOAS of its own that nobody else sees; that is what stands for being attached to nothing.
struct MockDoor: DeviceDoor {
    private static let pasidFlag: UInt32 = 4
    private static let hwptPASID: UInt32 = 8

    let hasPASIDs: Bool

    func bind(to iommufd: KernelHandle) throws(BindFailure) -> any BoundDevice {
        do throws(KernelFailure) { return try make(iommufd) } catch { throw .bind(error) }
    }

    func rebind(
        _ id: ObjectID, to iommufd: KernelHandle, _ descriptor: consuming Descriptor?, parts: [UInt32]
    ) -> (any BoundDevice)? {
        guard parts.count >= 3 else { return nil }
        return MockDevice(
            id: id, mock: parts[0], resting: parts[1], scratch: Array(parts[2...]), iommufd: iommufd)
    }

    private func make(_ iommufd: KernelHandle) throws(KernelFailure) -> MockDevice {
        var scratch = clinux_iommu_ioas_alloc()
        try iommufd.calls.perform(IOMMUFD.ioasAlloc, on: iommufd.file.number, &scratch)
        var command = TestCommand(
            .mockDomainFlags, id: scratch.out_ioas_id, [0, 0, 0, hasPASIDs ? Self.pasidFlag : 0])
        try command.perform(by: iommufd)
        let (mock, device) = (command[0], command[2])
        guard hasPASIDs else {
            return MockDevice(
                id: device, mock: mock, resting: scratch.out_ioas_id, scratch: [scratch.out_ioas_id], iommufd: iommufd)
        }
        // PASIDs may be attached beside it only if its own table was made for that.
        var table = clinux_iommu_hwpt_alloc()
        (table.flags, table.dev_id, table.pt_id) = (Self.hwptPASID, device, scratch.out_ioas_id)
        try iommufd.calls.perform(IOMMUFD.hwptAlloc, on: iommufd.file.number, &table)
        let made = MockDevice(
            id: device, mock: mock, resting: table.out_hwpt_id, scratch: [table.out_hwpt_id, scratch.out_ioas_id],
            iommufd: iommufd)
        try made.detach(pasid: nil)
        return made
    }
}

/// A device of the mock driver.
final class MockDevice: BoundDevice {
    let id: ObjectID
    private let mock: UInt32
    /// What it is attached to when it is attached to nothing.
    private let resting: UInt32
    /// What goes with it, in this order.
    private let scratch: [UInt32]
    private let iommufd: KernelHandle

    init(id: ObjectID, mock: UInt32, resting: UInt32, scratch: [UInt32], iommufd: KernelHandle) {
        (self.id, self.mock, self.resting, self.scratch, self.iommufd) = (id, mock, resting, scratch, iommufd)
    }

    func attach(to pt: ObjectID, pasid: UInt32?, isReplacement: Bool) throws(KernelFailure) -> ObjectID {
        guard let pasid else {
            var command = TestCommand(.mockDomainReplace, id: mock, [pt])
            try command.perform(by: iommufd)
            return command[0]
        }
        var command = TestCommand(isReplacement ? .pasidReplace : .pasidAttach, id: mock, [pasid, pt])
        try command.perform(by: iommufd)
        return command[1]
    }

    func detach(pasid: UInt32?) throws(KernelFailure) {
        guard let pasid else {
            var command = TestCommand(.mockDomainReplace, id: mock, [resting])
            return try command.perform(by: iommufd)
        }
        var command = TestCommand(.pasidDetach, id: mock, [pasid])
        try command.perform(by: iommufd)
    }

    let descriptor: Int32? = nil
    var parts: [UInt32] { [mock, resting] + scratch }

    func leave() {}

    func release() {
        try? detach(pasid: nil)
        for id in [mock] + scratch {
            var argument = clinux_iommu_destroy()
            argument.id = id
            try? iommufd.calls.perform(IOMMUFD.destroy, on: iommufd.file.number, &argument)
        }
    }

    func duplicate() throws(SystemError) -> Descriptor? { nil }
}

/// As many of them as the emulated laboratory has devices of that kind, under the same names.
final class MockInventory: DeviceInventory {
    let noticesChanges = false
    var onChange: ((DeviceEvent) -> Void)?
    private static let names = ["0000:01:00.0", "0000:03:00.0", "0000:05:00.0", "0000:04:00.0"]

    var topology: TopologyState {
        TopologyState(
            smmus: [TopologyState.SMMU(name: "mock", features: [], idr: nil)],
            groups: Self.names.indices.map { TopologyState.Group(id: UInt32($0), devices: [Self.names[$0]]) },
            devices: Self.names.compactMap { device(named: $0)?.facts }, accelerators: [])
    }

    func device(named name: String) -> MachineDevice? {
        guard let index = Self.names.firstIndex(of: name) else { return nil }
        var facts = TopologyState.Device(name: name)
        (facts.group, facts.smmu, facts.cdev, facts.isVFIOBound) = (UInt32(index), "mock", "(mock)", true)
        return MachineDevice(facts)
    }

    func door(ofDevice name: String) -> (any DeviceDoor)? {
        device(named: name).map { MockDoor(hasPASIDs: $0.name != "0000:04:00.0") }
    }
}
