import IOMMU

/// The dry run of a guest layout.
extension ObjectContext {
    /// Every refusal that a layout would meet on these devices, at most 10,000; nothing changes.
    package func beginCheck(
        devices selectors: [DeviceSelector], mappings: [CheckedMapping]
    ) -> AnyIterator<[LayoutProblem]> {
        var check = LayoutCheck(of: mappings)
        var devices: [Device] = []
        for selector in selectors where !check.isFull {
            do {
                let device = try device(selector)
                if devices.contains(where: { $0 === device }) { continue }
                devices.append(device)
                if device.boundBy !== self, let problem = bindingProblem(of: device) {
                    check.report(problem, device: device.name)
                }
            } catch {
                check.report(error, device: selector.text)
            }
        }
        check.demands = devices.map(Self.demands)
        return AnyIterator(check)
    }

    private func device(_ selector: DeviceSelector) throws(IOMMUError) -> Device {
        switch selector {
        case .name(let name): try registry.device(named: name)
        case .id(let id): try device(id)
        }
    }

    private static func demands(of device: Device) -> LayoutCheck.Demands {
        let format = device.driver.automaticFormat
        return LayoutCheck.Demands(
            of: device.name, granule: format.granule,
            reach: .init(format.aperture, bits: format.inputBits, of: device.driver.name),
            unusable: device.unusableRegions)
    }
}
