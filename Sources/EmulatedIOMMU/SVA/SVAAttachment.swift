import IOMMU
import IOMMUObjects

/// One address space on one group of devices: a PASID and CDs, shared by all bonds between the two.
final class SVAAttachment {
    let space: AddressSpace
    let view: AddressSpaceView
    let group: DeviceGroup
    let pasid: UInt32
    private(set) var devices: [EmulatedDevice]
    var bonds: [Bond] = []

    private init(
        space: AddressSpace, view: AddressSpaceView, group: DeviceGroup, pasid: UInt32, devices: [EmulatedDevice]
    ) {
        self.space = space
        self.view = view
        self.group = group
        self.pasid = pasid
        self.devices = devices
    }

    /// Gives every device of a group the address space under its PASID; all of them or none.
    ///
    /// - Parameter account: of the user who binds it, charged for what it takes.
    /// - Throws: `ESRCH` for one that has ended, `EOVERFLOW` if its PASID is too large for a device, `ENOSPC`,
    ///   `ENOMEM`, `EDQUOT`, and what the driver refuses. Then everything is as before.
    static func make(
        space: AddressSpace, group: DeviceGroup, for device: EmulatedDevice, of account: Account
    ) throws(IOMMUError) -> SVAAttachment {
        guard space.isLive else { throw .mmExited() }
        // A sibling without PASIDs can send none, and gets no CD.
        let devices = space.manager.members(group).filter { $0.master.pasidBits > 0 }
        let pasid = try space.takePASID(for: devices, of: account)
        do throws(IOMMUError) {
            let view = try space.takeView(of: device.smmu, for: account)
            do throws(IOMMUError) {
                try attach(devices, pasid: pasid, to: view.domain)
            } catch {
                space.release(view)
                throw error
            }
            view.displaced = nil
            let attachment = SVAAttachment(space: space, view: view, group: group, pasid: pasid, devices: devices)
            space.attachments.append(attachment)
            for device in devices { device.share(pasid, with: space) }
            return attachment
        } catch {
            space.releasePASIDIfUnused()
            throw error
        }
    }

    private static func attach(_ devices: [EmulatedDevice], pasid: UInt32, to domain: SVADomain) throws(IOMMUError) {
        var prepared: [PreparedAttachment] = []
        do throws(IOMMUError) {
            for device in devices {
                guard device.master.attachment(pasid: pasid).isBlocked else {
                    throw IOMMUError(
                        .EBUSY, .pasidInUse, "PASID \(pasid) of device \(device.name) is attached to something else",
                        hint: "detach that first", ["pasid": .number(UInt64(pasid)), "name": .text(device.name)]
                    )
                }
                prepared.append(try device.driver.prepare(device.master, pasid: pasid, target: .sva(domain)))
            }
        } catch {
            for (device, attachment) in zip(devices, prepared) { device.driver.abandon(attachment) }
            throw error
        }
        for (device, attachment) in zip(devices, prepared) { device.driver.commit(attachment) }
    }

    /// A device that was plugged into the group after the bond of a sibling gets what the sibling has.
    ///
    /// - Throws: `EOVERFLOW` if it cannot send the PASID, `EBUSY`, `ENOMEM`; then everything is as before.
    func include(_ device: EmulatedDevice, of account: Account) throws(IOMMUError) {
        guard !devices.contains(where: { $0 === device }) else { return }
        _ = try space.takePASID(for: [device], of: account)
        try Self.attach([device], pasid: pasid, to: view.domain)
        devices.append(device)
        device.share(pasid, with: space)
    }

    /// Takes the address space from the devices again; only then can the PASID go elsewhere.
    func end() {
        for device in devices { detach(device) }
        devices = []
        space.attachments.removeAll { $0 === self }
        space.release(view)
        space.releasePASIDIfUnused()
        space.manager.releaseIfUnused(space)
    }

    /// The device is going away; its siblings keep the address space.
    func drop(_ device: EmulatedDevice) {
        guard devices.contains(where: { $0 === device }) else { return }
        detach(device)
        devices.removeAll { $0 === device }
    }

    private func detach(_ device: EmulatedDevice) {
        space.answerFaults(of: device)
        device.driver.detach(device.master, pasid: pasid)
        device.unshare(pasid)
        terminateAccesses(of: device, .svaUnbound)
    }

    private func terminateAccesses(of device: EmulatedDevice, _ error: IOMMUError) {
        for streamID in device.description.streamIDs {
            device.smmu.engine.terminateAll(streamID: streamID, pasid: pasid, with: error)
        }
    }

    func stopQueues() {
        for bond in bonds { bond.stopQueues(.mmExited(mm: bond.handle.id)) }
    }
}

// MARK: - Tables of an address space

extension AddressSpace {
    /// The tables that one SMMU walks; made at the first bond behind it.
    fileprivate func takeView(of smmu: EmulatedSMMU, for account: Account) throws(IOMMUError) -> AddressSpaceView {
        if let view = views.first(where: { $0.smmu === smmu }) {
            view.users += 1
            smmu.driver.ledger?.share(view.usesBroadcast ? .cpuASID : .asid, UInt64(view.asid))
            return view
        }
        let view = try makeView(of: smmu, for: account)
        do throws(IOMMUError) {
            try populate(view)
        } catch {
            destroy(view)
            throw error
        }
        view.users = 1
        views.append(view)
        return view
    }

    fileprivate func release(_ view: AddressSpaceView) {
        view.users -= 1
        guard view.users == 0 else { return }
        views.removeAll { $0 === view }
        destroy(view)
    }

    /// Behind an SMMU that hears the CPUs' broadcasts the ASID is the CPUs', which is pinned.
    private func makeView(of smmu: EmulatedSMMU, for account: Account) throws(IOMMUError) -> AddressSpaceView {
        guard smmu.driver.features.hasBroadcastTLB else {
            return AddressSpaceView(smmu: smmu, domain: try smmu.driver.makeSVADomain(for: account), broadcast: nil)
        }
        let asid = try pinCPUASID(for: account)
        do throws(IOMMUError) {
            let displaced = try smmu.driver.claimASID(asid)
            do throws(IOMMUError) {
                let domain = try smmu.driver.makeSVADomain(claimed: asid, for: account)
                let view = AddressSpaceView(smmu: smmu, domain: domain) { [unowned self] range in
                    manager.broadcastTLBI(self, range)
                }
                view.displaced = displaced
                return view
            } catch {
                smmu.driver.unclaimASID(asid, for: displaced)
                throw error
            }
        } catch {
            unpinCPUASIDIfUnused()
            throw error
        }
    }

    private func destroy(_ view: AddressSpaceView) {
        if let displaced = view.displaced {
            view.smmu.driver.destroy(view.domain, givingASIDBackTo: displaced)
        } else {
            view.smmu.driver.destroy(view.domain)
        }
        unpinCPUASIDIfUnused()
    }
}
