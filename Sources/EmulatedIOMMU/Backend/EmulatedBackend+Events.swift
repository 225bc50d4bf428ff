import IOMMU
import SMMUv3

extension EmulatedBackend: SMMUDriverEvents {
    /// A device waits for a page: to who shares an address space with that PASID, else to the hwpt's fault queue.
    package func driver(_ driver: SMMUDriver, fault: DriverFault, from master: Master) {
        guard let device = master.owner as? EmulatedDevice else {
            if fault.last { driver.respond(to: fault.tag, success: false) }
            return
        }
        if let pasid = fault.pasid, let handler = device.sharedPASIDs[pasid] {
            handler.handle(fault, from: device)
            return
        }
        let attachment = device.group.attachments[fault.pasid ?? DeviceGroup.ridKey]
        guard let hwpt = attachment?.hwpt, let queue = hwpt.faultQueue, let object = device.handle,
            let context = device.boundBy
        else {
            if fault.last { driver.respond(to: fault.tag, success: false) }
            return
        }
        if queue.deliver(fault, device: object, hwpt: hwpt) {
            context.emit(
                .fault, device: device.name,
                [
                    .init("fault", .number(UInt64(queue.id))), .init("device", .number(UInt64(object.id))),
                    .init("name", .text(device.name)), .init("addr", .hex(fault.address)),
                ] + (fault.pasid.map { [.init("pasid", .number(UInt64($0)))] } ?? []))
        }
    }

    /// An event goes to the virtual machine that its device belongs to where it is one for guests, else to whoever
    /// watches the device.
    package func driver(_ driver: SMMUDriver, event: EventRecord, from master: Master?) {
        let device = master?.owner as? EmulatedDevice
        if let device, let master, forward(event, of: device, master) { return }
        guard let smmu = smmus.first(where: { $0.driver === driver }) else { return }
        var members: [IOMMUError.Member] = [
            .init("smmu", .text(smmu.name)),
            .init("type", .text(FaultDescription(event).type)),
            .init("stream_id", .number(UInt64(event.StreamID))),
        ]
        if let pasid = event.substream { members.append(.init("substream_id", .number(UInt64(pasid)))) }
        if let device { members.append(.init("name", .text(device.name))) }
        members.append(.init("address", .hex(event.InputAddr)))
        members.append(.init("record", .words(event.words)))
        let context = device?.boundBy.map { ObjectIdentifier($0) }
        emit(BackendEvent(.smmuEvent, context: context, device: device?.name, members))
    }

    /// What has stalled is no news for a guest, as with Linux: it could not answer, for it has no RESUME.
    ///
    /// - Returns: whether the event was the virtual machine's, read or lost.
    private func forward(_ event: EventRecord, of device: EmulatedDevice, _ master: Master) -> Bool {
        guard !event.S2, !event.Stall, let hwpt = device.group.attachments[DeviceGroup.ridKey]?.hwpt as? NestedHWPT,
            let viommu = device.handle?.vdevice?.viommu, viommu === hwpt.viommu, let queue = viommu.eventQueue,
            let context = device.boundBy, let record = viommu.driver.virtualized(event, of: master)
        else { return false }
        let hadRoom = queue.append(record.words)
        context.emit(
            .veventq, device: device.name,
            [
                .init("veventq", .number(UInt64(queue.id))), .init("viommu", .number(UInt64(viommu.id))),
                .init("name", .text(device.name)), .init("lost", .number(hadRoom ? 0 : 1)),
            ])
        return true
    }
}
