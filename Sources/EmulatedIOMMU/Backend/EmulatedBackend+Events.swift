import IOMMU
import IOMMUObjects
import SMMUv3

extension EmulatedBackend: SMMUDriverEvents {
    /// A device waits for a page: to who shares an address space with that PASID, else to the hwpt's fault queue.
    package func driver(_ driver: SMMUDriver, fault: DriverFault, from master: Master) {
        guard let device = device(of: master) else {
            if fault.last { driver.respond(to: fault.tag, success: false) }
            return
        }
        if let pasid = fault.pasid, let handler = device.sharers[pasid] {
            handler.handle(fault, from: device)
            return
        }
        device.device.deliver(DeviceFault(fault))
    }

    /// An event goes to the virtual machine that its device belongs to where it is one for guests, else to whoever
    /// watches the device.
    package func driver(_ driver: SMMUDriver, event: EventRecord, cause: FaultCause?, from master: Master?) {
        let device = master.flatMap { self.device(of: $0) }
        if let device, forward(event, of: device) { return }
        guard let smmu = smmus.first(where: { $0.driver === driver }) else { return }
        var description = FaultDescription(event, address: event.InputAddr)
        description.cause = cause
        emit(
            BackendEvent(
                .smmuEvent(SMMUEvent(smmu: smmu.name, name: device?.name, event: description)),
                context: device?.device.boundBy?.id))
    }

    /// What lies behind an event, by the objects as they are now.
    package func driver(_ driver: SMMUDriver, causeOf event: EventRecord, from master: Master?) -> FaultCause? {
        cause(of: event, from: master.flatMap { device(of: $0) })
    }

    /// What has stalled is no news for a guest, as with Linux: it could not answer, for it has no RESUME.
    ///
    /// - Returns: whether the event was the virtual machine's, read or lost.
    private func forward(_ event: EventRecord, of device: EmulatedDevice) -> Bool {
        guard !event.S2, !event.Stall else { return false }
        return device.device.forwardEvent { virtualID in
            DriverVIOMMU.virtualized(event, virtualID: UInt32(truncatingIfNeeded: virtualID))?.words
        }
    }
}
