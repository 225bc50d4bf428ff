/// The number of a context, given by who makes it and unique for the life of the daemon.
///
/// A number and not the object itself: something can stand before a context, and both have the same one.
package struct ContextID: Sendable, Hashable {
    /// From 1, never used again.
    package let number: UInt64

    /// A context with this number.
    package init(_ number: UInt64) { self.number = number }
}

/// Something that happened without being asked for, for `events.subscribe`.
package struct BackendEvent: Sendable, Equatable {
    /// The context whose objects it concerns; nil: whoever may see the device, or administrators.
    package var context: ContextID?
    /// What happened.
    package var body: Body

    /// Something that happened, in a context or to nobody.
    package init(_ body: Body, context: ContextID? = nil) {
        self.body = body
        self.context = context
    }

    /// What happened.
    package enum Body: Sendable, Equatable {
        /// A page fault waits in a fault queue.
        case fault(PageFaultEvent)
        /// An SMMU has recorded an event that no guest takes.
        case smmuEvent(SMMUEvent)
        /// An address space has ended.
        case mmExit(mm: ObjectID)
        case bond(BondEvent)
        case device(DeviceEvent)
        case queue(QueueEvent)
        /// An event waits in a veventq, or was lost there.
        case veventq(VirtualEventQueueEvent)
        /// A bare SMMU has recorded an event, or will as soon as its queue can be written.
        case vsmmuEvent(vsmmu: ObjectID, FaultDescription)
        /// The VMM of a bare SMMU has been told something.
        case vsmmuNotice(vsmmu: ObjectID, BareSMMUNotice)
    }

    /// What subscribers choose by; the raw value is the `kind` that they see.
    package enum Kind: String, Sendable, CaseIterable {
        case fault
        case smmuEvent = "smmu_event"
        case mmExit = "mm_exit"
        case bond
        case device
        case session
        case queue
        case veventq
        case vsmmuEvent = "vsmmu_event"
        case vsmmuInvalidate = "vsmmu_invalidate"
        case vsmmuStall = "vsmmu_stall"
        case vsmmuResume = "vsmmu_resume"
        case vsmmuPageResponse = "vsmmu_pri_response"
        case vsmmuMessage = "vsmmu_msi"
        case vsmmuEventSent = "vsmmu_sev"
    }

    /// What subscribers choose by.
    package var kind: Kind { body.kind }

    /// The name of the device that it concerns, if any.
    package var device: String? {
        switch body {
        case .fault(let event): event.name
        case .smmuEvent(let event): event.name
        case .bond(let event): event.name
        case .device(let event): event.name
        case .queue(let event): event.name
        case .veventq(let event): event.name
        case .mmExit, .vsmmuEvent, .vsmmuNotice: nil
        }
    }
}

extension BackendEvent.Body {
    /// What subscribers choose by.
    package var kind: BackendEvent.Kind {
        switch self {
        case .fault: .fault
        case .smmuEvent: .smmuEvent
        case .mmExit: .mmExit
        case .bond: .bond
        case .device: .device
        case .queue: .queue
        case .veventq: .veventq
        case .vsmmuEvent: .vsmmuEvent
        // What was lost was of any kind: nobody but the VMM is told of it.
        case .vsmmuNotice(_, let notice): notice.kind ?? .vsmmuInvalidate
        }
    }
}

/// A page fault that waits in a fault queue.
package struct PageFaultEvent: Sendable, Equatable {
    /// The queue.
    package var fault: ObjectID
    /// The device object.
    package var device: ObjectID
    /// The device's name.
    package var name: String
    /// The faulting address.
    package var address: UInt64
    /// Of the access; nil: it had none.
    package var pasid: UInt32?

    /// With these properties.
    package init(fault: ObjectID, device: ObjectID, name: String, address: UInt64, pasid: UInt32?) {
        self.fault = fault
        self.device = device
        self.name = name
        self.address = address
        self.pasid = pasid
    }
}

/// What an SMMU has recorded.
package struct SMMUEvent: Sendable, Equatable {
    /// Which SMMU.
    package var smmu: String
    /// The device whose stream it is; nil: nobody's.
    package var name: String?
    /// What it has recorded.
    package var event: FaultDescription

    /// With these properties.
    package init(smmu: String, name: String?, event: FaultDescription) {
        self.smmu = smmu
        self.name = name
        self.event = event
    }
}

/// A device and an address space have been bound, or no longer are.
package struct BondEvent: Sendable, Equatable {
    /// The bond.
    package var bond: ObjectID
    /// nil once the session has unbound the device.
    package var device: ObjectID?
    /// The device's name.
    package var name: String
    /// The address space.
    package var mm: ObjectID
    /// Its PASID.
    package var pasid: UInt32
    /// "live", "quiesced" or "gone"
    package var state: String

    /// With these properties.
    package init(bond: ObjectID, device: ObjectID?, name: String, mm: ObjectID, pasid: UInt32, state: String) {
        self.bond = bond
        self.device = device
        self.name = name
        self.mm = mm
        self.pasid = pasid
        self.state = state
    }
}

/// A device came, went, was taken or given back.
package struct DeviceEvent: Sendable, Equatable {
    /// What became of it.
    package enum Action: String, Sendable, CaseIterable {
        case added
        case removed
        case bound
        case unbound
    }

    /// The device's name.
    package var name: String
    /// What became of it.
    package var action: Action

    /// With these properties.
    package init(name: String, action: Action) {
        self.name = name
        self.action = action
    }
}

/// The state of a queue has changed by itself.
package struct QueueEvent: Sendable, Equatable {
    /// The queue.
    package var queue: ObjectID
    /// The device's name.
    package var name: String
    /// The address space.
    package var mm: ObjectID
    /// The state that it is in now.
    package var state: QueueState
    /// Why.
    package var reason: Reason

    /// With these properties.
    package init(queue: ObjectID, name: String, mm: ObjectID, state: QueueState, reason: Reason) {
        self.queue = queue
        self.name = name
        self.mm = mm
        self.state = state
        self.reason = reason
    }
}

/// A guest's event has come.
package struct VirtualEventQueueEvent: Sendable, Equatable {
    /// The queue.
    package var queue: ObjectID
    /// Whose guest it is for.
    package var viommu: ObjectID
    /// The device's name.
    package var name: String
    /// The queue had no room.
    package var isLost: Bool

    /// With these properties.
    package init(queue: ObjectID, viommu: ObjectID, name: String, isLost: Bool) {
        self.queue = queue
        self.viommu = viommu
        self.name = name
        self.isLost = isLost
    }
}
