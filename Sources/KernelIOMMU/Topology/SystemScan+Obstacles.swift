import IOMMU

/// What stands in the way of binding a device, as it can be seen from outside of the kernel.
extension SystemScan {
    /// Drivers whose devices may stay in a group that is handed out: they do no DMA, or none of their own.
    private static let harmless: Set<String> = ["pci-stub", "pcieport", "pcieport_driver"]

    func obstacles(of device: TopologyState.Device) -> [DeviceExplanation.Obstacle] {
        var obstacles: [DeviceExplanation.Obstacle] = []
        for region in device.reserved where region.kind == .direct { obstacles.append(directRegion(region, device)) }
        if let group = device.group {
            for name in members(of: group) where name != device.name {
                if let driver = nativeDriver(of: facts(of: name, group: group)) {
                    obstacles.append(taken(name, by: driver, besides: device))
                }
            }
        }
        guard let node = device.cdev else {
            obstacles.append(withoutNode(device))
            return obstacles
        }
        if files.exists(node), !files.isUsable(node) {
            obstacles.append(
                DeviceExplanation.Obstacle(
                    reason: .nodeForbidden, text: "the daemon may not open \(node)",
                    hint: "install systemd/udev/70-iommud.rules, then: udevadm trigger \(node)",
                    members: [.init("device", .text(device.name)), .init("node", .text(node))]))
        }
        return obstacles
    }

    /// A driver that does DMA for the host.
    private func nativeDriver(of device: TopologyState.Device) -> String? {
        guard device.isVFIOBound != true, let driver = device.driver, !Self.harmless.contains(driver) else {
            return nil
        }
        return driver
    }

    private func directRegion(
        _ region: ReservedRegion, _ device: TopologyState.Device
    ) -> DeviceExplanation.Obstacle {
        DeviceExplanation.Obstacle(
            reason: .directRegion,
            text: "the firmware uses memory at \(hexadecimal(region.range.start)) through the group of \(device.name)",
            hint: "such a device stays with the system; only direct_relaxable regions can be given up",
            members: [.init("device", .text(device.name)), region.member])
    }

    private func taken(
        _ sibling: String, by driver: String, besides device: TopologyState.Device
    ) -> DeviceExplanation.Obstacle {
        DeviceExplanation.Obstacle(
            reason: .groupOwnedElsewhere,
            text: "device \(sibling) of the same group has the driver \(driver)",
            hint: Self.rebinding(sibling),
            members: [
                .init("device", .text(sibling)), .init("driver", .text(driver)), .init("sibling", .text(sibling)),
            ])
    }

    private func withoutNode(_ device: TopologyState.Device) -> DeviceExplanation.Obstacle {
        let text =
            device.driver.map { "device \(device.name) has the driver \($0), which is none of vfio" }
            ?? "device \(device.name) has no driver"
        return DeviceExplanation.Obstacle(
            reason: .noVFIODriver, text: text, hint: Self.rebinding(device.name),
            members: [.init("device", .text(device.name))])
    }

    /// What an administrator does to give a PCI device to vfio-pci.
    private static func rebinding(_ name: String) -> String {
        let directory = "/sys/bus/pci/devices/\(name)"
        return "modprobe vfio-pci; echo vfio-pci >\(directory)/driver_override; "
            + "[ ! -e \(directory)/driver ] || echo \(name) >\(directory)/driver/unbind; "
            + "echo \(name) >/sys/bus/pci/drivers_probe"
    }
}
