import IOMMU

extension ObjectContext {
    /// As ``createMemory(size:name:huge:)``; whoever may block has huge pages made.
    package func beginCreateMemory(size: UInt64, name: String?, huge: Bool) throws(IOMMUError) -> Answer<ObjectID> {
        guard huge else { return .now(try createMemory(size: size, name: name, huge: false)) }
        let id = try createMemory(size: size, name: name, huge: true, isReserved: false)
        let object = try memory(id)
        let descriptor = object.descriptor
        let made = Deferred<ObjectID>()
        registry.host.perform {
            MemoryObject.reserve(descriptor, size: size)
        } completion: { [self] code in
            // The object has kept its descriptor until here, and the session has been asked for nothing else.
            guard code != 0 else { return made.settle(.success(id)) }
            release(object, id: id)
            made.settle(.failure(MemoryObject.refused(code, size: size, huge: true)))
        }
        return .later(made)
    }
}
