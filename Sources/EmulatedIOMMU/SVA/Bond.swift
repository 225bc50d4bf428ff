import IOMMU

/// A device and an address space bound in one session; counted.
package final class Bond {
    unowned let session: SVASession
    /// What the session calls it; 0 before it has a name.
    package internal(set) var id: ObjectID = 0
    let device: EmulatedDevice
    /// nil once the session has unbound the device.
    package internal(set) var deviceID: ObjectID?
    let handle: AddressSpaceHandle
    /// What the device's accesses to the address space bear.
    package let pasid: UInt32
    /// The ASID in the CD of device and PASID.
    package let asid: UInt16
    let usesBroadcast: Bool
    /// `sva.bind` calls and open queues that it serves.
    package internal(set) var users = 0
    /// nil once the device has gone.
    var attachment: SVAAttachment?
    var queues: [AcceleratorQueue] = []

    init(
        session: SVASession, device: EmulatedDevice, deviceID: ObjectID, handle: AddressSpaceHandle,
        _ attachment: SVAAttachment
    ) {
        self.session = session
        self.device = device
        self.deviceID = deviceID
        self.handle = handle
        self.attachment = attachment
        pasid = attachment.pasid
        asid = attachment.view.asid
        usesBroadcast = attachment.view.usesBroadcast
    }

    /// One whose device has gone.
    init(session: SVASession, gone device: EmulatedDevice, handle: AddressSpaceHandle, pasid: UInt32, asid: UInt16) {
        (self.session, self.device, self.handle) = (session, device, handle)
        (self.pasid, self.asid, usesBroadcast) = (pasid, asid, false)
    }

    var space: AddressSpace { handle.space }

    func stopQueues(_ error: IOMMUError) {
        for queue in queues { queue.kill(error) }
    }

    /// Lets go of the device's side; the address space leaves the device with the last bond between the two.
    func end() {
        guard let attachment else { return }
        self.attachment = nil
        attachment.bonds.removeAll { $0 === self }
        if attachment.bonds.isEmpty { attachment.end() }
    }

    /// The device is being taken away under the bond; the session's handles stay.
    func deviceLeaves(_ error: IOMMUError) {
        guard let attachment else { return }
        stopQueues(error)
        attachment.drop(device)
        end()
        session.announce(self, state: "gone")
    }
}
