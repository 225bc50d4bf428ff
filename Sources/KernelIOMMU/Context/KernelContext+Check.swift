import IOMMU
import IOMMUObjects

/// The dry run of a guest layout, as far as the system tells what devices need: their reserved regions and pages.
extension KernelContext {
    /// Of the smallest page that an IOMMU has, as far as is known.
    private static let granule: UInt64 = 4096

    /// Against reserved regions that the system tells of; nothing is asked of the kernel.
    package func beginCheck(
        devices selectors: [DeviceSelector], mappings: [CheckedMapping]
    ) -> AnyIterator<[LayoutProblem]> {
        var check = LayoutCheck(of: mappings)
        var devices: [MachineDevice] = []
        for selector in selectors where !check.isFull {
            do {
                let device = try machineDevice(selector)
                if devices.contains(where: { $0.name == device.name }) { continue }
                devices.append(device)
                if let held = backend.holdings.heldElsewhere(device, asked: self) {
                    check.report(held, device: device.name)
                }
            } catch {
                check.report(error, device: selector.text)
            }
        }
        check.demands = devices.map { .init(of: $0.name, granule: Self.granule, unusable: $0.unusableRegions) }
        return AnyIterator(check)
    }

    private func machineDevice(_ selector: DeviceSelector) throws(IOMMUError) -> MachineDevice {
        let name: String
        switch selector {
        case .name(let given): name = given
        case .id(let id): name = try device(id).name
        }
        guard let device = backend.inventory.device(named: name) else { throw KernelBackend.unknownDevice(name) }
        return device
    }
}
