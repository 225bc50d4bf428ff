import IOMMU

/// What a device reports, on its way to who is to know of it.
extension Device {
    /// The device waits for a page: the fault queue of the hwpt that it translates through is told, and answers.
    ///
    /// A PASID that nothing is attached to is a guest's own where the device is on a guest's stage 1: whoever serves
    /// the device serves it too (`find_fault_handler`).
    ///
    /// Where there is none, and where the queue is full, the wait ends with a failure.
    package func deliver(_ fault: DeviceFault) {
        guard let hwpt = translation(pasid: fault.pasid), let queue = hwpt.faultQueue, let object = handle,
            let context = boundBy
        else {
            if fault.last { port.respond(to: fault.token, success: false) }
            return
        }
        if queue.deliver(fault, device: object, hwpt: hwpt) {
            context.emit(
                .fault(
                    PageFaultEvent(
                        fault: queue.id, device: object.id, name: name, address: fault.address, pasid: fault.pasid)))
        }
    }

    private func translation(pasid: UInt32?) -> HWPT? {
        let own = group.attachments[DeviceGroup.ridKey]?.hwpt
        guard let pasid else { return own }
        if let attachment = group.attachments[pasid] { return attachment.hwpt }
        return own?.isNested == true ? own : nil
    }

    /// Gives an event record to the virtual machine that the device belongs to, if it is on a stage 1 of one that reads
    /// events.
    ///
    /// - Parameter record: makes the record as the guest is to see it; gets the virtual id that the device had when it
    ///   was attached, and returns nil for what is not for guests.
    /// - Returns: whether the event was the virtual machine's, read or lost.
    package func forwardEvent(_ record: (_ virtualID: UInt64) -> [UInt64]?) -> Bool {
        guard let eventID, let hwpt = group.attachments[DeviceGroup.ridKey]?.hwpt as? NestedHWPT,
            let queue = hwpt.viommu.eventQueue, let context = boundBy, let words = record(eventID)
        else { return false }
        let hadRoom = queue.append(words)
        context.emit(
            .veventq(
                VirtualEventQueueEvent(queue: queue.id, viommu: hwpt.viommu.id, name: name, isLost: !hadRoom)))
        return true
    }
}
