import IOMMU
import JSONRPC

private struct BondFields {
    let bond: Field<Count>
    let device: Field<Count>
    let mm: Field<Count>
    let pasid: Field<Count>
    let asid: Field<Count>
    let users: Field<Count>
    let state: Field<String>
    let btm: Field<Bool>

    static var type: ResultType<ObjectOf<BondFields>> {
        .object { bond in
            BondFields(
                bond: bond.result("bond", .count, "The bond."),
                device: bond.optionalResult("device", .count, "The device object; absent once it is unbound."),
                mm: bond.result("mm", .count, "The address space."), pasid: bond.result("pasid", .count, "Its PASID."),
                asid: bond.result("asid", .count, "Its ASID."),
                users: bond.result("users", .count, "Binds and queues."),
                state: bond.result(
                    "state", .choice(["live", "quiesced", "gone"]),
                    "quiesced: the address space has ended; gone: the device has, only its handles are left."),
                btm: bond.result("btm", .bool, "CPU invalidations reach the SMMU by themselves.")
            )
        }
    }
}

/// `sva.*`: devices that use the addresses of a process.
func declareSVAMethods(_ methods: inout MethodTable<Service>) {
    methods.declare("sva.bind", "Let a device use an address space.", changesState: true) { m in
        let device = m.param("device", .id, "The device object.")
        let mm = m.param("mm", .id, "The address space.")
        let bond = m.result("bond", .count, "The bond; the same for the same device and address space.")
        let pasid = m.result("pasid", .count, "What the device's accesses carry.")
        let asid = m.result("asid", .count, "What the TLB knows it by.")
        m.needs(.sharedAddressing)
        m.refuses(.bond, .looking)
        return { call, service in
            let spaces = try service.sharedAddressing(call)
            let (device, mm) = (call[device], call[mm])
            return try service.lookingFirst(call, at: mm) { () throws(IOMMUError) in
                try spaces.bindSVA(device: device, mm: mm)
            } write: { reply, made in
                service.watchAddressSpaces()
                reply.set(bond, made.bond)
                reply.set(pasid, made.pasid)
                reply.set(asid, made.asid)
            }
        }
    }

    methods.declare("sva.unbind", "Take back one bind.", changesState: true) { m in
        let bond = m.param("bond", .id, "The bond.")
        let users = m.result("users", .count, "Users left; 0: the bond is gone and its PASID free.")
        m.needs(.sharedAddressing)
        m.refuses(.unknownBond)
        m.refuses(.EBUSY, .bondOfQueues, "Only queues use it; queue.close ends that.")
        return { call, service in
            let left = try service.sharedAddressing(call).unbindSVA(bond: call[bond])
            return call.reply { $0.set(users, left) }
        }
    }

    declareSVAList(&methods)
}

private func declareSVAList(_ methods: inout MethodTable<Service>) {
    methods.declare("sva.list", "The bonds of this session.") { m in
        let bonds = m.result("bonds", .array(of: BondFields.type), "The bonds.")
        m.needs(.sharedAddressing)
        return { call, service in
            let listed = try service.sharedAddressing(call).bonds()
            return call.reply { reply in
                reply.set(bonds) { list in for bond in listed { list.append { $0.write(bond, $1) } } }
            }
        }
    }
}

extension ResultWriter {
    fileprivate func write(_ bond: BondDescription, _ fields: BondFields) {
        set(fields.bond, bond.bond)
        if let device = bond.device { set(fields.device, device) }
        set(fields.mm, bond.mm)
        set(fields.pasid, bond.pasid)
        set(fields.asid, bond.asid)
        set(fields.users, bond.users)
        set(fields.state, bond.state)
        set(fields.btm, bond.btm)
    }
}
