import IOMMU
import IOMMUObjects
import LinuxIO

extension KernelContext {
    /// What the system tells of the device, and what of this session stands against it. `ENODEV`.
    package func explain(deviceNamed name: String) throws(IOMMUError) -> DeviceExplanation {
        guard let device = backend.inventory.device(named: name) else { throw KernelBackend.unknownDevice(name) }
        var reasons = device.obstacles
        if let held = backend.holdings.heldElsewhere(device, asked: self) { reasons.append(.init(held)) }
        for case let ioas as KernelIOAS in table.all { reasons += collisions(of: device, with: ioas) }
        return DeviceExplanation(viable: reasons.isEmpty, reasons: reasons, group: device.facts.group)
    }

    /// Which mappings would refuse an attach of the device to this IOAS.
    private func collisions(
        of device: MachineDevice, with ioas: KernelIOAS
    ) -> [DeviceExplanation.Obstacle] {
        let isAttached = attachedDevices(of: ioas).contains { $0.name == device.name }
        guard !isAttached else { return [] }
        return device.unusableRegions.compactMap { region in
            guard let area = ioas.areas.firstOverlap(start: region.range.start, last: region.range.last) else {
                return nil
            }
            return DeviceExplanation.Obstacle(
                reason: .mappingInReservedRegion,
                text: "ioas \(ioas.id) has a mapping at \(hexadecimal(area.start)), in a \(region.kind.rawValue) "
                    + "region of the device",
                hint: "unmap it and map that memory elsewhere, or attach to another IOAS",
                members: [
                    region.member,
                    .init(
                        "mapping",
                        .object([
                            .init("ioas", .number(UInt64(ioas.id))), .init("iova", .hex(area.start)),
                            .init("length", .hex(area.length)),
                        ])),
                ])
        }
    }

    /// Why the kernel did not bind the device: it has one errno for several causes, which the system tells apart.
    func refusal(_ failure: BindFailure?, ofBinding device: MachineDevice) -> IOMMUError {
        let error: IOMMUError
        switch failure {
        case .open(let failure): error = Self.notOpened(failure, device)
        case .bind(let failure): error = failure.refusal { Self.notBound($0, device) }
        case nil: error = Self.notBindable(device)
        }
        return error.with("name", .text(device.name))
    }

    private static func notBound(_ errno: Errno, _ device: MachineDevice) -> IOMMUError? {
        // What was read of the system before may have changed; what is there now comes first.
        if [.EPERM, .EBUSY, .EINVAL].contains(errno), let obstacle = device.obstacles.first {
            return obstacle.refusal
        }
        switch errno {
        case .EPERM:
            return IOMMUError(
                .EPERM, .msiNotIsolated,
                "interrupts of \(device.name) are not isolated, or its group is in use outside of iommud",
                hint: "on hosts without interrupt remapping: iommufd's parameter allow_unsafe_interrupts")
        case .EBUSY:
            return IOMMUError(
                .EBUSY, .groupOwnedElsewhere, "the group of \(device.name) is open through /dev/vfio outside of iommud",
                hint: "end who uses it there")
        case .EINVAL:
            return IOMMUError(
                .EINVAL, .notCacheCoherent,
                "device \(device.name) is not cache-coherent with the processors, or "
                    + "somebody has bound it already", hint: "only coherent devices can be bound")
        default: return nil
        }
    }

    private static func notOpened(_ failure: SystemError, _ device: MachineDevice) -> IOMMUError {
        let node = device.facts.cdev ?? "its node"
        switch Errno(rawValue: failure.errno) {
        case .EACCES, .EPERM:
            return IOMMUError(
                .EPERM, .nodeForbidden, "the daemon may not open \(node) of device \(device.name)",
                hint: "systemd/udev/70-iommud.rules gives the nodes to the group iommud", ["node": .text(node)])
        case .ENOENT, .ENODEV, .ENXIO:
            return IOMMUError(
                .ENODEV, .deviceRemoved, "\(node) of device \(device.name) is not there",
                hint: "topology.list shows the devices that are", ["node": .text(node)])
        case .EMFILE, .ENFILE:
            return .noDescriptors
        default:
            return IOMMUError(
                .EIO, .kernelRefused, "\(node) cannot be opened: \(Errno.name(of: failure.errno))",
                hint: "the kernel's log may say why",
                ["node": .text(node), "kernel_errno": .text(Errno.name(of: failure.errno))])
        }
    }

    /// Nothing is there that could be bound.
    static func notBindable(_ device: MachineDevice) -> IOMMUError {
        if let obstacle = device.obstacles.first { return obstacle.refusal.with("name", .text(device.name)) }
        return IOMMUError(
            .ENODEV, .noVFIODriver, "device \(device.name) has no vfio node", hint: "bind it to vfio-pci first",
            ["name": .text(device.name)])
    }
}

extension ReservedRegion {
    var member: IOMMUError.Member {
        .init(
            "region",
            .object([
                .init("start", .hex(range.start)), .init("last", .hex(range.last)), .init("type", .text(kind.rawValue)),
            ]))
    }
}

extension DeviceExplanation.Obstacle {
    /// What a bind that meets it is refused with.
    var refusal: IOMMUError {
        let errno: Errno
        switch reason {
        case .msiNotIsolated, .nodeForbidden: errno = .EPERM
        case .directRegion, .notCacheCoherent: errno = .EINVAL
        case .noVFIODriver: errno = .ENODEV
        default: errno = .EBUSY
        }
        let refusal = IOMMUError(errno, reason, text, hint: hint)
        return members.reduce(refusal) { $0.with($1.key, $1.value) }
    }
}
