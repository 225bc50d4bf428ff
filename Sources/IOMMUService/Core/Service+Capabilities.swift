import IOMMU
import JSONRPC

/// What only some backends can do: `EOPNOTSUPP`, with what is missing as the reason, where this one cannot.
extension Service {
    func deviceDMA(_ call: Call) throws(IOMMUError) -> any DeviceDMA {
        guard let able = try context(call).deviceDMA else { throw Capability.deviceDMA.missing }
        return able
    }

    func sharedAddressing(_ call: Call) throws(IOMMUError) -> any SharedAddressing {
        guard let able = try context(call).sharedAddressing else { throw Capability.sharedAddressing.missing }
        return able
    }

    func acceleratorQueues(_ call: Call) throws(IOMMUError) -> any AcceleratorQueues {
        guard let able = try context(call).acceleratorQueues else { throw Capability.acceleratorQueues.missing }
        return able
    }

    func smmuInspection(_ client: Client) throws(IOMMUError) -> any SMMUInspection {
        guard let able = client.session.context.smmuInspection else { throw Capability.smmuInspection.missing }
        return able
    }

    func tlbBroadcast(_ call: Call) throws(IOMMUError) -> any TLBBroadcast {
        guard let able = try context(call).tlbBroadcast else { throw Capability.tlbBroadcast.missing }
        return able
    }

    @inline(__always)
    func bareSMMUs(_ call: Call) throws(IOMMUError) -> any BareSMMUs {
        guard let able = try context(call).bareSMMUs else { throw Capability.bareSMMUs.missing }
        return able
    }

    func deviceHotplug() throws(IOMMUError) -> any DeviceHotplug {
        guard let able = backend.deviceHotplug else { throw Capability.deviceHotplug.missing }
        return able
    }

    func descriptorExport(_ client: Client) throws(IOMMUError) -> any DescriptorExport {
        guard let able = client.session.context.descriptorExport else { throw Capability.descriptorExport.missing }
        return able
    }
}

extension MethodBuilder {
    /// The method is there only where the backend has the capability.
    func needs(_ capability: Capability) {
        refuses(.EOPNOTSUPP, capability.missingReason, "The backend \(capability.limitation).")
    }
}
