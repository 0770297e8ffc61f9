/** The page as `mnist-lstm serve` has it: with photographs, in which the server finds the digits. */

import { readImage } from "./main.js";
import { PhotographView } from "./ui/photographs.js";

new PhotographView(readImage);
