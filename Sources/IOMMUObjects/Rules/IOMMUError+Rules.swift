import IOMMU

/// Refusals of the object model that every implementation of it makes, in the same words.
extension IOMMUError {
    /// `EOPNOTSUPP`: a PASID on a device that has none.
    package static func noPASIDs(on device: String) -> IOMMUError {
        IOMMUError(
            .EOPNOTSUPP, .noPASID, "device \(device) has no PASIDs",
            hint: "topology.list tells the pasid_bits of each device", ["name": .text(device)])
    }

    /// `EINVAL`: a PASID that the device does not have, or 0, which is no PASID.
    ///
    /// - Parameter bits: of the device's PASIDs, at most 20.
    package static func badPASID(_ pasid: UInt32, on device: String, bits: Int) -> IOMMUError {
        IOMMUError(
            .EINVAL, .badPASID,
            "PASID \(pasid) is none of device \(device), which has 1 to \((UInt64(1) << UInt64(bits)) - 1)",
            hint: "take one of those, or leave pasid out for the device's own transactions",
            ["name": .text(device), "pasid": .number(UInt64(pasid))])
    }

    /// `ENOENT`: a stage 1 of a guest that the guest knows no StreamID for.
    package static func vdeviceRequired(for device: String, in viommu: ObjectID) -> IOMMUError {
        IOMMUError(
            .ENOENT, .vdeviceRequired, "device \(device) has no virtual StreamID in viommu \(viommu)",
            hint: "give it one with vdevice.alloc first",
            ["viommu": .number(UInt64(viommu)), "name": .text(device)])
    }

    /// `EEXIST`: a second vdevice for a device.
    package static func vdeviceExists(of device: String) -> IOMMUError {
        IOMMUError(
            .EEXIST, .vdeviceExists, "device \(device) has a vdevice already",
            hint: "end that one with object.destroy first", ["name": .text(device)])
    }

    /// `EEXIST`: a virtual StreamID that another device has.
    package static func virtualIDTaken(_ virtualID: UInt64, in viommu: ObjectID, device: ObjectID) -> IOMMUError {
        IOMMUError(
            .EEXIST, .virtualIDTaken, "another device of viommu \(viommu) has virtual StreamID \(virtualID)",
            hint: "take another virt_id, or end that vdevice with object.destroy",
            [
                "viommu": .number(UInt64(viommu)), "device": .number(UInt64(device)),
                "virt_id": .number(virtualID),
            ])
    }

    /// `EOPNOTSUPP`: a device of several StreamIDs for a guest.
    package static func severalStreams(of device: String) -> IOMMUError {
        IOMMUError(
            .EOPNOTSUPP, .severalStreams, "device \(device) has more than one StreamID",
            hint: "give the guest a device with a single one", ["name": .text(device)])
    }

    /// `EINVAL`: a depth that no queue of a guest's events has.
    package static func badDepth(_ depth: UInt32, atMost most: UInt32, viommu: ObjectID) -> IOMMUError {
        IOMMUError(
            .EINVAL, .badDepth, "no event queue has a depth of \(depth)", hint: "give 1 to \(most)",
            ["viommu": .number(UInt64(viommu)), "depth": .number(UInt64(depth))])
    }

    /// `EEXIST`: a second queue of a guest's events.
    package static func eventQueueExists(of viommu: ObjectID, depth: UInt32) -> IOMMUError {
        IOMMUError(
            .EEXIST, .veventqExists, "viommu \(viommu) has an event queue of this type already",
            hint: "read that one, or end it with object.destroy first",
            ["viommu": .number(UInt64(viommu)), "depth": .number(UInt64(depth))])
    }
}
