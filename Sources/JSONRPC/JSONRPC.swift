// The first declaration of this module follows.
