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
            throw .deviceOfOtherSMMU
        }
        guard master.streamIDs.count == 1 else {
            throw IOMMUError(
                .EOPNOTSUPP, .severalStreams,
                "a device with \(master.streamIDs.count) StreamIDs cannot have a virtual one",
                hint: "give the guest a device with a single one"
            )
        }
        guard masters[virtualID] == nil else {
            throw IOMMUError(
                .EEXIST, .virtualIDTaken, "another device of the viommu has virtual StreamID \(virtualID)",
                hint: "take another virt_id",
                ["virt_id": .number(UInt64(virtualID))]
            )
        }
        guard self.virtualID(of: master) == nil else {
            throw IOMMUError(
                .EEXIST, .vdeviceExists, "the device has a virtual StreamID in this viommu already",
                hint: "end its vdevice with object.destroy first")
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
    /// - Throws: `EIO` with `handled` for an opcode that is not a guest's, a command that the SMMU would refuse or that
    ///   has a bit set which it does not have, and an unknown virtual StreamID.
    package func invalidate(entries: [(UInt64, UInt64)]) throws(IOMMUError) -> Int {
        let (queue, rules) = (driver.queue, driver.guestCommands)
        let vmid = UInt64(vmid) << 32
        var done = 0
        defer { if done > 0 { queue.sync() } }
        for (word0, word1) in entries {
            let rule = rules.rule(word0)
            guard rules.allows(word0, word1, rule) else {
                throw illegal(word0, word1, rule, handled: done)
            }
            switch rule.owner {
            case .vmid: queue.append(word0 & ~Self.vmidBits | vmid, word1)
            case .everything: queue.append(UInt64(CommandOpcode.TLBI_NH_ALL.rawValue) | vmid, 0)
            case .stream: queue.append(try streamID(of: word0, handled: done) | word0 & UInt64(UInt32.max), word1)
            }
            done &+= 1
            if done % Self.commandsAtOnce == 0 { queue.publish() }
        }
        return done
    }

    /// Commands are carried out while they are still in the nearest cache.
    private static let commandsAtOnce = 64
    private static let vmidBits: UInt64 = 0xffff << 32

    /// The host's StreamID in the place of the guest's.
    private func streamID(of word0: UInt64, handled: Int) throws(IOMMUError) -> UInt64 {
        let virtualID = UInt32(truncatingIfNeeded: word0 >> 32)
        guard let streamID = masters[virtualID]?.streamIDs.first else {
            throw IOMMUError(
                .EIO, .unknownVirtualID, "no device of the viommu has virtual StreamID \(virtualID)",
                hint: "give it to a device with vdevice.alloc",
                ["virt_id": .number(UInt64(virtualID)), "handled": .number(UInt64(handled))]
            )
        }
        return UInt64(streamID) << 32
    }

    private func illegal(
        _ word0: UInt64, _ word1: UInt64, _ rule: GuestCommandRules.Rule, handled: Int
    ) -> IOMMUError {
        let command: (String, IOMMUError.Value) = ("command", .words([word0, word1]))
        let count: (String, IOMMUError.Value) = ("handled", .number(UInt64(handled)))
        guard rule.isGuests else {
            return IOMMUError(
                .EIO, .badCommand, "a guest cannot issue the command \(hexadecimal(word0)) \(hexadecimal(word1))",
                hint: "issue TLBI_NSNH_ALL, TLBI_NH_VA, TLBI_NH_VAA, TLBI_NH_ALL, TLBI_NH_ASID, CFGI_CD or "
                    + "CFGI_CD_ALL, or ATC_INV where the SMMU has ATS",
                KeyValuePairs(dictionaryLiteral: command, count)
            )
        }
        let bits = (word0 & rule.forbidden.0, word1 & rule.forbidden.1)
        return IOMMUError(
            .EIO, .badCommand,
            "the command \(hexadecimal(word0)) \(hexadecimal(word1)) has "
                + (bits == (0, 0) ? "a reserved range or size" : "bits set that are reserved"),
            hint: "write zero where IHI 0070 calls something of it reserved",
            KeyValuePairs(dictionaryLiteral: command, ("bits", .words([bits.0, bits.1])), count)
        )
    }
}
