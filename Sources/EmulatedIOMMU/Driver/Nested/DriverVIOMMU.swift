import IOMMU
import SMMUv3

/// The slice of an SMMU that one guest sees: its VMID and its virtual StreamIDs.
package final class DriverVIOMMU {
    unowned let driver: SMMUDriver
    /// The guest's physical address space.
    package let parent: PagingDomain
    /// No other of the driver's ever had or will have it.
    let serial: UInt64
    private var masters: [UInt32: Master] = [:]

    init(driver: SMMUDriver, parent: PagingDomain, serial: UInt64) {
        (self.driver, self.parent, self.serial) = (driver, parent, serial)
    }

    /// The parent's.
    package var vmid: UInt16 { parent.tag }

    // MARK: Virtual StreamIDs

    /// - Throws: `EEXIST` if the id or the device is taken, `EINVAL` for a device of another SMMU, `EOPNOTSUPP` for
    ///   a device that does not have exactly one stream.
    package func setVDevice(virtualID: UInt32, master: Master) throws(IOMMUError) {
        guard master.driver === driver else {
            throw IOMMUError(.EINVAL, .otherSMMU, "the device is behind another SMMU than the viommu")
        }
        guard master.streamIDs.count == 1 else {
            throw IOMMUError(
                .EOPNOTSUPP, .severalStreams,
                "a device with \(master.streamIDs.count) streams cannot have a virtual StreamID"
            )
        }
        guard masters[virtualID] == nil else {
            throw IOMMUError(
                .EEXIST, .virtualIDTaken, "another device of the viommu has this virtual StreamID",
                ["virt_id": .number(UInt64(virtualID))]
            )
        }
        guard self.virtualID(of: master) == nil else {
            throw IOMMUError(.EEXIST, .vdeviceExists, "the device has a virtual StreamID in this viommu already")
        }
        masters[virtualID] = master
    }

    /// The guest's StreamID is free again.
    package func removeVDevice(virtualID: UInt32) { masters[virtualID] = nil }

    /// The StreamID by which the guest knows a device.
    package func virtualID(of master: Master) -> UInt32? { masters.first { $0.value === master }?.key }

    // MARK: Events

    /// A record of one of the guest's devices as the guest is to see it; nil if that kind is not for guests.
    package static func virtualized(_ record: EventRecord, virtualID: UInt32) -> EventRecord? {
        switch record.type {
        case .C_BAD_STE, .F_STREAM_DISABLED, .C_BAD_SUBSTREAMID, .C_BAD_CD, .F_TRANSLATION, .F_ADDR_SIZE, .F_ACCESS,
            .F_PERMISSION:
            var copy = record
            copy.StreamID = virtualID
            return copy
        default: return nil
        }
    }

    // MARK: Invalidation

    /// Runs a guest's invalidation commands in order, as far as the first bad one.
    ///
    /// - Returns: how many were run: all.
    /// - Throws: `EIO` with `handled` for an opcode that is not a guest's, or an unknown virtual StreamID.
    package func invalidate(entries: [(UInt64, UInt64)]) throws(IOMMUError) -> Int {
        let queue = driver.queue
        let vmid = vmid
        var done = 0
        defer { if done > 0 { queue.sync() } }
        for (word0, word1) in entries {
            var host = Command(word0: word0, word1: word1)
            if Self.isForVMID(host) { host.VMID = vmid } else { host = try rewritten(host, handled: done) }
            queue.append(host)
            done &+= 1
            if done % Self.commandsAtOnce == 0 { queue.publish() }
        }
        return done
    }

    /// Commands are carried out while they are still in the nearest cache.
    private static let commandsAtOnce = 64

    /// Nearly all that guests send: a TLBI that needs only the host's VMID.
    @inline(__always)
    private static func isForVMID(_ command: Command) -> Bool {
        let opcode = UInt8(truncatingIfNeeded: command.word0)
        return opcode >= CommandOpcode.TLBI_NH_ALL.rawValue && opcode <= CommandOpcode.TLBI_NH_VAA.rawValue
    }

    /// The guest's command with the host's VMID or StreamID.
    func rewritten(_ command: Command, handled: Int) throws(IOMMUError) -> Command {
        var host = command
        switch command.opcode {
        case .TLBI_NSNH_ALL: return .TLBI_NH_ALL(vmid: vmid)
        case .TLBI_NH_ALL, .TLBI_NH_ASID, .TLBI_NH_VA, .TLBI_NH_VAA: host.VMID = vmid
        case .ATC_INV, .CFGI_CD, .CFGI_CD_ALL:
            guard let master = masters[command.StreamID], let streamID = master.streamIDs.first else {
                throw IOMMUError(
                    .EIO, .unknownVirtualID, "no device of the viommu has this virtual StreamID",
                    hint: "vdevice.alloc gives a device one",
                    ["virt_id": .number(UInt64(command.StreamID)), "handled": .number(UInt64(handled))]
                )
            }
            host.StreamID = streamID
        default:
            throw IOMMUError(
                .EIO, .badCommand, "a guest cannot issue this command",
                hint: "accepted are TLBI_NSNH_ALL, TLBI_NH_VA, TLBI_NH_VAA, TLBI_NH_ALL, TLBI_NH_ASID, ATC_INV, "
                    + "CFGI_CD and CFGI_CD_ALL",
                ["command": .words([command.word0, command.word1]), "handled": .number(UInt64(handled))]
            )
        }
        return host
    }
}
