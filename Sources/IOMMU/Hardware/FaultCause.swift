/// What lies behind a fault: the object that an access went through, and what that lacks. Known when the fault happens;
/// what is there may be another later.
public indirect enum FaultCause: Sendable, Equatable {
    /// Something in an address space of devices.
    public struct Place: Sendable, Equatable {
        /// The IOAS that maps it.
        public var ioas: ObjectID
        /// The table that the access went through.
        public var hwpt: ObjectID
        /// What was looked for: an IOVA; below a guest's stage 1 an IPA.
        public var address: UInt64
        /// What a guest's stage 1 wanted there: CLASS of the record; nil: the host's table alone translates.
        public var purpose: String?

        /// With these properties.
        public init(ioas: ObjectID, hwpt: ObjectID, address: UInt64, purpose: String? = nil) {
            (self.ioas, self.hwpt, self.address, self.purpose) = (ioas, hwpt, address, purpose)
        }
    }

    /// The mapping that comes closest.
    public enum Neighbour: Sendable, Equatable {
        /// It lies before; this is its last byte.
        case endsAt(UInt64)
        /// It lies behind; this is its first byte.
        case beginsAt(UInt64)
    }

    /// An address space of a process, by a process that it had; nil: a client made it up.
    public typealias ProcessID = Int32

    /// No device has the stream.
    case noDevice(streamID: UInt32)
    /// The device is attached to nothing, or its PASID is.
    case unattached(device: String, pasid: UInt32?)
    /// PASIDs of the device have so many bits; 0: it has none.
    case pasidTooLarge(device: String, pasid: UInt32, bits: Int)
    /// The IOAS maps nothing there.
    case unmapped(Place, nearest: Neighbour?)
    /// A mapping is there, for something else.
    case forbidden(Place, first: UInt64, last: UInt64, wants: AccessKind)
    /// By now it is mapped, and may be used.
    case mappedByNow(Place)
    /// The guest's own stage 1 says so.
    case guestTables(hwpt: ObjectID, address: UInt64, isMapped: Bool)
    /// The areas of a process do not permit it.
    case processForbids(ProcessID?, pasid: UInt32, address: UInt64, wants: AccessKind)
    /// The process has gone.
    case processGone(ProcessID?, pasid: UInt32)
    /// A field of an STE or a CD has a value that it may not have there.
    case illegalField(structure: String, String, UInt64?)
}

extension FaultCause {
    /// One sentence without its full stop, for a person.
    package var meaning: String {
        switch self {
        case .noDevice(let streamID): "no device has StreamID \(hexadecimal(UInt64(streamID)))"
        case .unattached(let device, nil): "device \(device) is attached to nothing"
        case .unattached(let device, let pasid?): "PASID \(pasid) of device \(device) is attached to nothing"
        case .pasidTooLarge(let device, let pasid, 0): "device \(device) has no PASIDs, and so no PASID \(pasid)"
        case .pasidTooLarge(let device, let pasid, let bits):
            "PASID \(pasid) is above those of device \(device), which have \(bits) bits"
        case .unmapped(let place, let nearest): "\(place.introduction)\(place.absence); \(Self.text(of: nearest))"
        case .forbidden(let place, let first, let last, let wants):
            "\(place.introduction)the mapping of ioas \(place.ioas) from \(hexadecimal(first)) to \(hexadecimal(last)) "
                + "may not be \(wants.participle)"
        case .mappedByNow(let place):
            "\(place.introduction)ioas \(place.ioas) covers \(hexadecimal(place.address)) by now"
        case .guestTables(let hwpt, let address, false):
            "the guest's own tables, stage 1 of hwpt \(hwpt), have no page at \(hexadecimal(address))"
        case .guestTables(let hwpt, let address, true):
            "the guest's own tables, stage 1 of hwpt \(hwpt), do not permit this at \(hexadecimal(address))"
        case .processForbids(let pid, let pasid, let address, let wants):
            "\(Self.text(of: pid, pasid)) has nothing at \(hexadecimal(address)) that may be \(wants.participle)"
        case .processGone(let pid, let pasid): "\(Self.text(of: pid, pasid)) has ended"
        case .illegalField(let structure, "V", _): "the \(structure) is not valid: its V is 0"
        case .illegalField(let structure, let field, let value):
            "the \(structure) may not have \(field)\(value.map { " = \(hexadecimal($0))" } ?? " as it is")"
        }
    }

    /// What to do about it.
    package var hint: String {
        switch self {
        case .noDevice: "topology.list lists the StreamIDs of each device"
        case .unattached(_, nil): "call device.attach first"
        case .unattached(_, .some): "call device.attach with this pasid, or sva.bind, first"
        case .pasidTooLarge(_, _, 0): "leave the PASID out, or take a device that has some"
        case .pasidTooLarge(_, _, let bits): "take a PASID below \(UInt64(1) << UInt64(max(0, min(bits, 32))))"
        case .unmapped(let place, _) where place.purpose != nil:
            "map the guest's memory there with ioas.map, or see to what the guest's tables point to"
        case .unmapped: "map it with ioas.map; smmu.translate with trace shows the walk"
        case .forbidden(_, _, _, .write): "map it again with access to read and write"
        case .forbidden: "map it again with access to read"
        case .mappedByNow: "try again"
        case .guestTables: "it is for the guest's driver to map; smmu.translate with trace shows the walk"
        case .processForbids(nil, _, _, _): "add an area with mm.map"
        case .processForbids: "give the device addresses that the process itself could use so"
        case .illegalField("STE", _, _): "smmu.ste shows it; IHI 0070, 5.2 says what the field may be"
        case .illegalField: "smmu.cd shows it; IHI 0070, 5.4 says what the field may be"
        case .processGone: "close the queue or call sva.unbind, and open the address space of another"
        }
    }

    /// The objects involved, for `data` of a refusal.
    package var members: [IOMMUError.Member] {
        switch self {
        case .unmapped(let place, let nearest):
            switch nearest {
            case nil: place.members
            case .endsAt(let last): place.members + [.init("mapping_last", .hex(last))]
            case .beginsAt(let start): place.members + [.init("mapping_iova", .hex(start))]
            }
        case .forbidden(let place, let first, let last, _):
            place.members + [.init("mapping_iova", .hex(first)), .init("mapping_last", .hex(last))]
        case .mappedByNow(let place): place.members
        case .guestTables(let hwpt, _, _): [.init("hwpt", .number(UInt64(hwpt)))]
        case .noDevice, .unattached, .pasidTooLarge, .processForbids, .processGone, .illegalField: []
        }
    }

    private static func text(of nearest: Neighbour?) -> String {
        switch nearest {
        case nil: "it maps nothing at all"
        case .endsAt(let last): "the nearest mapping ends at \(hexadecimal(last))"
        case .beginsAt(let start): "the nearest mapping begins at \(hexadecimal(start))"
        }
    }

    private static func text(of process: ProcessID?, _ pasid: UInt32) -> String {
        guard let process else { return "the address space behind PASID \(pasid)" }
        return "process \(process), whose address space has PASID \(pasid),"
    }
}

extension FaultCause.Place {
    fileprivate var members: [IOMMUError.Member] {
        [.init("ioas", .number(UInt64(ioas))), .init("hwpt", .number(UInt64(hwpt)))]
    }

    /// How an IPA came into it.
    fileprivate var introduction: String {
        switch purpose {
        case nil: ""
        case "CD": "the guest's context descriptor is at IPA \(hexadecimal(address)): "
        case "TTD": "the guest's tables go on at IPA \(hexadecimal(address)): "
        default: "the guest's tables lead to IPA \(hexadecimal(address)): "
        }
    }

    fileprivate var absence: String { "nothing of ioas \(ioas) covers \(hexadecimal(address))" }
}

extension AccessKind {
    fileprivate var participle: String {
        switch self {
        case .read: "read"
        case .write: "written"
        case .execute: "executed"
        }
    }
}
