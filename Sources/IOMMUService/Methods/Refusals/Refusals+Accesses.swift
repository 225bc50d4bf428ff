/// What accesses of devices end with.
extension Refusals {
    /// Any access, however it is asked for.
    static let access = Refusals(
        room, helper,
        Refusals(.EBUSY, .addressSpaceStuck, "An access to the address space waits for a page that does not come."),
        Refusals(.EINVAL, .badLength, "The length is 0, or larger than one access may be."),
        Refusals(.EOVERFLOW, .addressOverflow, "The range goes beyond the last address."),
        Refusals(.EFAULT, .fTranslation, "Nothing is mapped there: `data.event`."),
        Refusals(.EFAULT, .fPermission, "The mapping does not permit it: `data.event`."),
        Refusals(.EFAULT, .quiesced, "The address space has ended; nothing is recorded."),
        Refusals(.EFAULT, .faultNotResolved, "Its faults were answered again and again, and never resolved."),
        Refusals(.EFAULT, .pageUnreachable, "The process permits it, but its page cannot be had."),
        Refusals(.ETIMEDOUT, .accessTimedOut, "It stalled, and nobody answered in `timeout_ms`."),
        sessionEnds, stopping)

    /// An access in the device's own words.
    static let dma = Refusals(
        device, access,
        Refusals(.ECANCELED, .svaUnbound, "The address space was unbound while it waited."),
        Refusals(.EINVAL, .badPASID, "A PASID has 20 bits."),
        Refusals(.EFAULT, .blocked, "The device is not attached to anything; nothing is recorded."),
        Refusals(.EFAULT, .steAbort, "The guest's STE ends all transactions; nothing is recorded."),
        Refusals(.EFAULT, .faultNotRecorded, "The guest's CD lets nothing be recorded."),
        Refusals(.EFAULT, .noMemoryThere, "No memory lies at the guest's output address."),
        Refusals(.EFAULT, .pageRequestFailed, "Its page request was answered with a refusal."),
        Refusals(.EFAULT, .fAccess, "The Access flag of the guest's descriptor is clear: `data.event`."),
        Refusals(.EFAULT, .fAddrSize, "A table of the guest's holds an address beyond its size: `data.event`."),
        Refusals(.EFAULT, .fWalkEAbt, "A table of the guest's lies where no memory is: `data.event`."),
        Refusals(.EFAULT, .fCDFetch, "The guest's CD lies where no memory is: `data.event`."),
        Refusals(.EFAULT, .cBadCD, "The guest's CD is none: `data.event`."),
        Refusals(.EFAULT, .cBadSubstreamID, "The PASID has no CD: `data.event`."),
        Refusals(.EFAULT, .fStreamDisabled, "The stream is off for accesses with, or without, a PASID: `data.event`."))
}
