import CLinux
import IOMMU
import IOMMUObjects
import LinuxIO

extension KernelContext {
    // MARK: Bind

    /// `VFIO_DEVICE_BIND_IOMMUFD`, after a look at who of the daemon's sessions has its group.
    package func bind(deviceNamed name: String) throws(IOMMUError) -> (device: ObjectID, group: UInt32?) {
        try now(try binding(name))
    }

    /// ``bind(deviceNamed:)`` on a worker: some devices are reset by it.
    package func beginBind(
        deviceNamed name: String
    ) throws(IOMMUError) -> Answer<(device: ObjectID, group: UInt32?)> {
        later(try binding(name))
    }

    private struct Binding: Sendable {
        var bound: (any BoundDevice)?
        var pasidBits = 0
        var failure: BindFailure?
    }

    private func binding(_ name: String) throws(IOMMUError) -> Work<Binding, (device: ObjectID, group: UInt32?)> {
        guard let device = backend.inventory.device(named: name) else { throw KernelBackend.unknownDevice(name) }
        if let held = backend.holdings.problem(of: device, by: self) { throw held }
        guard let door = backend.inventory.door(ofDevice: name) else { throw Self.notBindable(device) }
        let handle = try handle()
        try store.chargeObject(descriptors: 1)
        backend.holdings.take(device, by: self)
        return Work(work: { Self.bind(door, handle) }) { [self] binding in
            guard let bound = binding.bound else {
                store.releaseObject(descriptors: 1)
                backend.holdings.release(name)
                return .failure(refusal(binding.failure, ofBinding: device))
            }
            let object = KernelDevice(
                bound, name: name, group: device.facts.group, pasidBits: binding.pasidBits)
            enter(object)
            note(object)
            emit(.device(DeviceEvent(name: name, action: .bound)))
            return .success((object.id, object.group))
        }
    }

    private static func bind(_ door: any DeviceDoor, _ handle: KernelHandle) -> Binding {
        var binding = Binding()
        do throws(BindFailure) {
            let bound = try door.bind(to: handle)
            binding.bound = bound
            // Before 6.6 nobody tells, and PASIDs cannot be attached.
            binding.pasidBits = (try? handle.hardwareInfo(device: bound.id))?.maxPASIDLog2 ?? 0
        } catch {
            binding.failure = error
        }
        return binding
    }

    // MARK: Unbind

    /// Closes the device, which the kernel detaches and gives back by that.
    package func unbind(device id: ObjectID) throws(IOMMUError) { try now(unbinding(try unbindable(id))) }

    /// ``unbind(device:)`` on a worker.
    package func beginUnbind(device id: ObjectID) throws(IOMMUError) -> Answer<Void> {
        later(unbinding(try unbindable(id)))
    }

    /// What has to be known of a device besides its id to find it again.
    func note(_ device: KernelDevice) {
        if let group = device.group { backend.ledger.note(.group, UInt64(group)) }
        for part in device.bound.parts { backend.ledger.note(.part, UInt64(part)) }
    }

    /// Closing our descriptor of a device that has been handed out would not unbind it.
    func unbindable(_ id: ObjectID) throws(IOMMUError) -> KernelDevice {
        let device = try table.object(id, .device, as: KernelDevice.self)
        guard !device.isExported else {
            throw IOMMUError(
                .EBUSY, .exported, "the descriptor of device \(device.name) has been handed out",
                hint: "with force it is detached and blocked, and bound until the last copy is closed",
                ["device": .number(UInt64(id)), "name": .text(device.name)])
        }
        return device
    }

    func unbinding(_ device: KernelDevice) -> Work<Void, Void> {
        let (bound, keys) = (device.bound, Array(device.attachments.keys))
        return Work(work: { bound.release(attachedAt: keys) }) { [self] in
            forget(device)
            return .success(())
        }
    }

    /// The kernel has given the device back.
    func forget(_ device: KernelDevice) {
        for key in device.attachments.keys.sorted(by: >) { leave(device, key: key) }
        if let vdevice = device.vdevice {
            vdevice.release()
            table.remove(vdevice)
            tombstones.append(vdevice.id)
        }
        table.remove(device)
        store.releaseObject(descriptors: 1)
        backend.holdings.release(device.name)
        emit(.device(DeviceEvent(name: device.name, action: .unbound)))
    }

    /// It has been unplugged: its object stays until it is unbound, and answers ENODEV.
    func deviceRemoved(_ name: String) {
        for case let device as KernelDevice in table.all where device.name == name { device.isRemoved = true }
    }

    // MARK: Facts

    /// As `topology.list` has it.
    package func name(ofDevice device: ObjectID) throws(IOMMUError) -> String {
        try table.object(device, .device, as: KernelDevice.self).name
    }

    /// `ENOENT` for an unknown id, `ENODEV` for a device that has been unplugged.
    func device(_ id: ObjectID) throws(IOMMUError) -> KernelDevice {
        let device = try table.object(id, .device, as: KernelDevice.self)
        guard !device.isRemoved else {
            throw IOMMUError(
                .ENODEV, .deviceRemoved, "device \(device.name) has been removed",
                hint: "device.unbind frees its object",
                ["device": .number(UInt64(id)), "name": .text(device.name)])
        }
        return device
    }

    /// `IOMMU_GET_HW_INFO`
    package func hardwareInfo(device id: ObjectID) throws(IOMMUError) -> HardwareInfo {
        let device = try device(id)
        let handle = try handle()
        do throws(KernelFailure) {
            return try handle.hardwareInfo(device: id)
        } catch {
            throw error.refusal().with("device", .number(UInt64(id))).with("name", .text(device.name))
        }
    }

    /// Devices of this context that are attached to a table of the IOAS.
    func attachedDevices(of ioas: KernelIOAS) -> [KernelDevice] {
        table.all.compactMap { $0 as? KernelDevice }
            .filter { $0.attachments.values.contains { $0.ioas === ioas } }
    }
}

extension KernelHandle {
    private static let types: [UInt32: String] = [
        0: "none", 1: "intel_vtd", 2: "arm_smmuv3", 3: "tegra241_cmdqv", 4: "amd",
    ]
    private static let capabilities: [(UInt64, String)] = [
        (1, "dirty_tracking"), (2, "pasid_exec"), (4, "pasid_priv"), (8, "ats_not_supported"),
    ]

    /// `IOMMU_GET_HW_INFO`
    func hardwareInfo(device: ObjectID) throws(KernelFailure) -> HardwareInfo {
        var words = clinux_iommu_hw_info_arm_smmuv3()
        var argument = clinux_iommu_hw_info()
        argument.dev_id = device
        argument.data_len = UInt32(MemoryLayout.size(ofValue: words))
        var failure: KernelFailure?
        withUnsafeMutablePointer(to: &words) { pointer in
            argument.data_uptr = UInt64(UInt(bitPattern: pointer))
            do throws(KernelFailure) { try perform(IOMMUFD.getHWInfo, &argument) } catch { failure = error }
        }
        if let failure { throw failure }
        let isSMMU = argument.out_data_type == 2
        let idr = words.idr
        return HardwareInfo(
            type: Self.types[argument.out_data_type] ?? "type_\(argument.out_data_type)",
            idr: isSMMU ? [idr.0, idr.1, idr.2, idr.3, idr.4, idr.5] : [], iidr: isSMMU ? words.iidr : 0,
            aidr: isSMMU ? words.aidr : 0,
            capabilities: Self.capabilities.filter { argument.out_capabilities & $0.0 != 0 }.map(\.1),
            maxPASIDLog2: Int(argument.out_max_pasid_log2))
    }
}
