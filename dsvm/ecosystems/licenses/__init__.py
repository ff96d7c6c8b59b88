"""What artefacts say of their licences, in the words of each ecosystem, as SPDX names them."""
