import IOMMU

/// Which context has bound which device, or is about to: the sessions of one daemon are told of each other, where the
/// kernel would only say EPERM.
final class Holdings {
    private struct Holding {
        let context: ContextID
        let reference: KernelContextReference
        let holder: Holder
        let group: UInt32?
    }

    private var holdings: [String: Holding] = [:]

    func take(_ device: MachineDevice, by context: KernelContext) {
        holdings[device.name] = Holding(
            context: context.id, reference: context.reference, holder: context.store.holder, group: device.facts.group)
    }

    func release(_ name: String) { holdings[name] = nil }

    /// Who has the device.
    func holder(of name: String) -> Holder? { holdings[name]?.holder }

    /// The way to who has the device.
    func reference(of name: String) -> KernelContextReference? { holdings[name]?.reference }

    /// Whose it is.
    func context(of name: String) -> ContextID? { holdings[name]?.context }

    /// Why the context cannot have the device; nil if no other has it.
    func problem(of device: MachineDevice, by context: KernelContext) -> IOMMUError? {
        if holdings[device.name]?.context == context.id {
            return IOMMUError(
                .EBUSY, .alreadyBound, "device \(device.name) is bound by this session already",
                hint: "go on with its device object, or end that with device.unbind", ["name": .text(device.name)])
        }
        return heldElsewhere(device, asked: context)
    }

    /// Another context has the device, or one of its group.
    func heldElsewhere(_ device: MachineDevice, asked: KernelContext) -> IOMMUError? {
        let others = holdings.filter { $0.value.context != asked.id }
        let group = device.facts.group
        guard
            let held = others[device.name].map({ (key: device.name, value: $0) })
                ?? others.filter({ group != nil && $0.value.group == group }).min(by: { $0.key < $1.key })
        else { return nil }
        let what = held.key == device.name ? "device \(held.key)" : "device \(held.key) of the same group"
        let holder = held.value.holder.text(for: asked.store.account)
        let error = IOMMUError(
            .EBUSY, .groupOwnedElsewhere, "\(what) is bound by \(holder)",
            hint: "a group belongs to one session at a time: unbind it there first",
            ["name": .text(device.name), "sibling": .text(held.key), "session": .text(holder)])
        return group.map { error.with("group", .number(UInt64($0))) } ?? error
    }
}

/// A way to a context that does not keep it: it takes itself out when it goes.
final class KernelContextReference {
    /// Unsafe because nothing is counted, as everywhere on the loop's thread.
    unowned(unsafe) private(set) var context: KernelContext?

    func set(_ context: KernelContext?) { self.context = context }
}
